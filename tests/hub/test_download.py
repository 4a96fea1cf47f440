"""Fetching: one file, bounded before it is fetched, and each fault one clear sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.hub import LARGEST_DOWNLOAD, download, fetched

from .conftest import TOKEN, Hub, Repository

DATA = b"weights" * 100


@pytest.fixture
def repository(hub: Hub) -> Repository:
    """A public model."""
    hub.repositories["me/birds"] = found = Repository()
    found.commit({"README.md": b"# birds", "model.safetensors": DATA})
    return found


def gets(hub: Hub) -> list[str]:
    """The files that were asked for."""
    return [path.split("/")[-1] for verb, path in hub.asked if verb == "GET" and "resolve" in path]


def refused(match: str, address: str = "hub:me/birds") -> str:
    with pytest.raises(LookcloserError, match=match) as caught:
        fetched(address)
    said = str(caught.value)
    assert address in said
    assert "\n" not in said
    assert TOKEN not in said
    return said


def test_a_path_stays_as_it_is() -> None:
    assert fetched("runs/birds") == "runs/birds"
    assert fetched(Path("hub")) == Path("hub")


def test_only_the_model_file_is_fetched_and_only_once(hub: Hub, repository: Repository) -> None:
    repository.commit({"pytorch_model.bin": b"pickle", "code.py": b"import os"})
    first, second = fetched("hub:me/birds"), fetched("hub:me/birds")
    assert Path(first).read_bytes() == DATA
    assert first == second
    assert gets(hub) == ["model.safetensors"]


def test_a_revision_is_what_it_was(hub: Hub, repository: Repository) -> None:
    old = repository.branches["main"]
    repository.commit({"model.safetensors": b"new"})
    repository.commit({"model.safetensors": b"tried"}, branch="try/1")
    for revision, wanted in ((f"@{old}", DATA), ("", b"new"), ("@try/1", b"tried")):
        assert Path(fetched(f"hub:me/birds{revision}")).read_bytes() == wanted
    refused("no such revision.*branch", "hub:me/birds@v9")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"model.onnx": b"1", "model.safetensors": b"2"}, "model.safetensors"),
        ({"model.onnx": b"1", "other.onnx": b"2"}, "model.onnx"),
        ({"birds.onnx": b"1", "deep/other.onnx": b"2"}, "birds.onnx"),
    ],
)
def test_which_file_is_taken(hub: Hub, files: dict[str, bytes], wanted: str) -> None:
    hub.repositories["me/birds"] = Repository()
    hub.repositories["me/birds"].commit(files)
    assert Path(fetched("hub:me/birds")).name == wanted


@pytest.mark.parametrize(
    "files",
    [
        {"pytorch_model.bin": b"pickle"},
        {"a.onnx": b"1", "b.onnx": b"2"},
        {"../model.safetensors": b"1", "x/model.onnx": b"2"},
        {"\x1b[31m.onnx": b"1", "b.onnx": b"2"},
    ],
)
def test_a_repository_without_a_model_of_ours(hub: Hub, files: dict[str, bytes]) -> None:
    hub.repositories["me/birds"] = Repository()
    hub.repositories["me/birds"].commit(files)
    said = refused("no model of lookcloser; it has .*lookcloser push")
    assert "\x1b" not in said
    assert not gets(hub)


@pytest.mark.parametrize("size", [LARGEST_DOWNLOAD + 1, 10**15, -1, None])
def test_what_is_too_large_is_not_fetched(
    hub: Hub, repository: Repository, size: int | None
) -> None:
    repository.sizes["model.safetensors"] = size
    refused("does not say how large" if size is None else "bytes.*at most 4,294,967,296")
    assert not gets(hub)


def test_a_file_of_another_size_than_was_said_is_refused(repository: Repository) -> None:
    repository.sizes["model.safetensors"] = 5
    refused("700 bytes of commit .*, where the hub says 5 of")


def test_private_and_gated_models_need_the_token(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.private = True
    assert Path(fetched("hub:me/birds")).read_bytes() == DATA
    assert f"Bearer {TOKEN}" in hub.tokens
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    refused("not found on the hub, or private and you are not logged in.*hf auth login")
    repository.private, repository.gated = False, True
    refused("gated, its owner decides")
    refused("not found on the hub", "hub:me/burds")


@pytest.mark.parametrize("status", [400, 403, 418])
def test_whatever_the_hub_answers_is_one_sentence(hub: Hub, status: int) -> None:
    hub.broken = status
    refused("no right" if status == 403 else f"error {status}")


def test_another_server_in_its_place_is_one_sentence(hub: Hub) -> None:
    hub.babble = True
    refused("answer cannot be read")


def test_without_a_network_the_copy_is_taken(
    hub: Hub, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    sha = repository.branches["main"]
    first = Path(fetched("hub:me/birds"))
    assert Path(fetched(f"hub:me/birds@{sha}")) == first
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody is there
    assert Path(fetched("hub:me/birds")) == first
    assert Path(fetched(f"hub:me/birds@{sha}")) == first
    refused("cannot be reached at http://127.0.0.1:9", "hub:me/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("cannot be reached.*HF_HUB_OFFLINE", "hub:me/other")
    monkeypatch.setattr(download, "LARGEST_DOWNLOAD", 5)
    refused("cannot be reached")


def test_a_model_that_changes_meanwhile_is_not_taken_for_the_other(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    look = HfApi.model_info

    def slow(self: HfApi, *given: object, **more: object) -> object:
        found = look(self, *given, **more)
        repository.commit({"model.safetensors": DATA[::-1]})
        return found

    monkeypatch.setattr(HfApi, "model_info", slow)
    refused("has just been changed")
