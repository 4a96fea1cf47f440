"""Images and batches of a data set: what is random in them follows from their keys alone."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch.utils.data import BatchSampler

from lookcloser.core.sizes import ImageSize
from lookcloser.data import Sample, read_data
from lookcloser.data.dataset import (
    Batches,
    EpochSampler,
    ImageDataset,
    Item,
    PairBatches,
    SharedBatches,
    collate,
    image_loader,
)
from lookcloser.data.samplers import ClassBalancedBatchSampler
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


def test_an_image_that_cannot_be_read_has_a_reason_and_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    sample = Sample("a.png", tmp_path / "a.png", ("b",))
    transform = training_transform(Preprocessing((32, 32)), Augmentation("shift"))
    dataset = ImageDataset([sample], ClassTargets("ab"), transform)
    item = dataset[0, 0]
    assert (item.image, item.row, item.name, item.size) == (None, 0, "a.png", (0, 0))
    assert item.target.item() == 1
    assert "not an image that can be read" in item.reason


def item(row: int, value: float | None) -> Item:
    image = None if value is None else torch.full((3, 2, 2), value)
    return Item(image, torch.tensor(row % 2), row, f"{row}.png", ImageSize(row, 9), "why")


def test_a_batch_has_what_could_be_read_and_lists_the_rest() -> None:
    batch = collate([item(4, 0.5), item(7, None), item(5, 1.5)])
    assert batch.images[:, 0, 0, 0].tolist() == [0.5, 1.5]
    assert batch.targets.tolist() == [0, 1]
    assert batch.indices.tolist() == [4, 5]
    assert batch.sizes == [(4, 9), (5, 9)]
    assert batch.skipped == [("7.png", "why")]


def test_a_batch_of_which_nothing_could_be_read_is_empty() -> None:
    batch = collate([item(1, None), item(2, None)])
    assert batch.images.numel() == batch.targets.numel() == batch.indices.numel() == 0
    assert batch.indices.dtype == torch.long
    assert [name for name, _ in batch.skipped] == ["1.png", "2.png"]


def keys(sampler: EpochSampler, epoch: int) -> list[tuple[int, int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_has_every_image_once_in_an_order_of_its_own() -> None:
    sampler = EpochSampler(50, seed=3)
    first, second = keys(sampler, 0), keys(sampler, 1)
    assert len(sampler) == len(first) == 50
    assert {epoch for epoch, _ in second} == {1}
    orders = [[index for _, index in epoch] for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
    assert orders[0] != orders[1]
    assert keys(EpochSampler(50, seed=3), 1) == second
    assert keys(EpochSampler(50, seed=4), 1) != second
    assert keys(EpochSampler(4, shuffle=False), 2) == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_weights_draw_with_replacement_in_their_proportion() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0]).repeat(400)
    drawn = torch.tensor([index % 3 for _, index in keys(EpochSampler(1200, weights=weights), 0)])
    shares = torch.bincount(drawn, minlength=3) / 1200
    assert shares[0] == 0
    assert shares[2].item() == pytest.approx(0.75, abs=0.05)
    assert keys(EpochSampler(1200, weights=weights), 0) == keys(
        EpochSampler(1200, weights=weights), 0
    )


def test_pairs_carry_the_epoch_that_is_set_when_the_first_is_wanted() -> None:
    balanced = ClassBalancedBatchSampler([0, 0, 1, 1, 2, 2], 3)
    pairs = PairBatches(balanced)
    batches = iter(pairs)
    balanced.set_epoch(5)
    found = list(batches)
    assert len(found) == len(pairs) == 1
    assert {epoch for batch in found for epoch, _ in batch} == {5}
    assert [[index for _, index in batch] for batch in found] == list(balanced)


def test_an_epoch_is_gone_on_with_at_a_batch_and_the_next_is_whole() -> None:
    sampler = EpochSampler(10, shuffle=False)
    batches = Batches(BatchSampler(sampler, 3, drop_last=False))
    batches.begin_at(2, 1)
    assert [[index for _, index in batch] for batch in batches] == [[3, 4, 5], [6, 7, 8], [9]]
    assert {epoch for batch in batches for epoch, _ in batch} == {2}
    assert len(batches) == 4, "of a whole epoch"
    sampler.set_epoch(3)
    assert [len(batch) for batch in batches] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("count", "keep_last", "sizes"),
    [(9, False, [4, 4]), (9, True, [4, 4, 1]), (10, False, [4, 4, 2]), (8, False, [4, 4])],
)
def test_a_last_batch_of_one_image_is_left_out_of_training(
    dataset: ImageDataset, count: int, keep_last: bool, sizes: list[int]
) -> None:
    some = ImageDataset(dataset.samples[:count], dataset.targets, dataset.transform)
    loader = image_loader(some, EpochSampler(count), batch_size=4, workers=0, keep_last=keep_last)
    batches = list(loader)
    assert [len(batch.images) for batch in batches] == sizes
    assert len(loader) == len(sizes)
    first = batches[0].indices[0].item()
    assert torch.equal(batches[0].images[0], some[0, first].image)


def test_batches_of_another_sampler_come_as_they_are(dataset: ImageDataset) -> None:
    shared = SharedBatches(EpochSampler(48), 12, rank=1, world_size=2)
    loader = image_loader(dataset, shared, batch_size=1, workers=0)
    assert [len(batch.images) for batch in loader] == [6] * 4
    assert [batch.indices.tolist() for batch in loader] == [
        [index for _, index in batch] for batch in shared
    ]
