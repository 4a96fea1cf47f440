"""As many loading processes as the shared memory has room for, and the same batches."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lookcloser.data import read_data, shared_memory
from lookcloser.data.dataset import EpochSampler, ImageDataset, image_loader
from lookcloser.data.shared_memory import affordable_workers
from lookcloser.data.targets import ClassTargets
from lookcloser.data.transforms import Augmentation, Preprocessing, training_transform


def room_of(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(
        os, "statvfs", lambda _folder: SimpleNamespace(f_bavail=room // 512, f_frsize=512)
    )


@pytest.mark.parametrize(
    ("room", "workers"),
    [(64 << 20, 1), (128 << 20, 2), (1 << 30, 4), (0, 0), (10 << 20, 0)],
)
def test_two_batches_of_each_have_to_fit(
    monkeypatch: pytest.MonkeyPatch, room: int, workers: int
) -> None:
    room_of(monkeypatch, room)
    assert affordable_workers(4, 19 << 20) == workers


@pytest.mark.parametrize("error", [FileNotFoundError, AttributeError])
def test_without_such_a_folder_all_are(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(_folder: str) -> None:
        raise error

    monkeypatch.setattr(shared_memory.os, "statvfs", fails)
    assert affordable_workers(4, 19 << 20) == 4


def test_a_loader_has_no_more_and_draws_nothing(
    squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = read_data(squares)
    transform = training_transform(Preprocessing((64, 64)), Augmentation(erase=1.0))
    dataset = ImageDataset(catalog.split("train"), ClassTargets(catalog.names), transform)
    room_of(monkeypatch, 3 * 1024 * 1024)
    state = torch.get_rng_state()
    loader = image_loader(dataset, EpochSampler(len(dataset)), batch_size=8, workers=4)
    # 2 × 8 images of 3 × 64 × 64 floats are 0.75 MiB; two such, and a quarter more, 1.9 MiB.
    assert loader.num_workers == 1
    assert torch.equal(torch.get_rng_state(), state)
