"""One image of a data set: what is random in it follows from its key alone."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
import torch

from lookcloser.data import read_data
from lookcloser.data.dataset import ImageDataset
from lookcloser.data.targets import ClassTargets
from lookcloser.data.transforms import Augmentation, Preprocessing, training_transform


@pytest.fixture
def dataset(squares: Path) -> ImageDataset:
    catalog = read_data(squares)
    transform = training_transform(Preprocessing((32, 32)), Augmentation("shift"))
    return ImageDataset(catalog.split("train"), ClassTargets(catalog.names), transform, seed=3)


def test_it_is_drawn_by_seed_epoch_and_place_and_leaves_other_random_numbers(
    dataset: ImageDataset,
) -> None:
    first = dataset[2, 5].image
    torch.manual_seed(1)
    wanted = torch.rand(4)
    torch.manual_seed(1)
    again = dataset[2, 5].image
    assert torch.equal(torch.rand(4), wanted)
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)
    others = [dataset[3, 5].image, dataset[2, 6].image]
    dataset.seed = 4
    for other in (*others, dataset[2, 5].image):
        assert other is not None
        assert not torch.equal(first, other)


def test_generators_of_gpus_are_left_alone(
    dataset: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take no part; to seed them costs more than the image where there are none."""

    def seeds(_: int) -> NoReturn:
        raise AssertionError

    for name in ("cuda", "xpu", "mtia"):
        monkeypatch.setattr(getattr(torch, name), "manual_seed_all", seeds)
    assert dataset[0, 0].image is not None
