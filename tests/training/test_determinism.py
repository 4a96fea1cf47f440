import os

import pytest
import torch

from lookcloser.training.determinism import deterministic

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def settings():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
    )


@pytest.fixture
def with_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv(CUBLAS, "")
    monkeypatch.delenv(CUBLAS)


def test_a_gpu_adds_up_in_one_order_while_it_trains(with_gpu):
    before = settings()
    with deterministic(True):
        assert settings() == (True, True, False, False)
        assert os.environ[CUBLAS] == ":4096:8"
    assert settings() == before


def test_settings_are_put_back_after_an_error(with_gpu):
    torch.backends.cudnn.benchmark, before = True, settings()
    try:
        with pytest.raises(ValueError, match="broken"), deterministic(True):
            raise ValueError("broken")
        assert settings() == (before[0], before[1], True, before[3])
    finally:
        torch.backends.cudnn.benchmark = False


def test_a_workspace_of_the_users_stays(with_gpu, monkeypatch):
    monkeypatch.setenv(CUBLAS, ":16:8")
    with deterministic(True):
        assert os.environ[CUBLAS] == ":16:8"


@pytest.mark.parametrize(("wanted", "gpu"), [(False, True), (True, False)])
def test_nothing_changes_where_it_is_not_wanted_or_of_no_use(wanted, gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    before = settings()
    with deterministic(wanted):
        assert settings() == before
