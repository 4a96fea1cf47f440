"""Which images come in which batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lookcloser.core import LookcloserError
from lookcloser.core.choices import Task
from lookcloser.core.errors import UsageError
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.data import Catalog, Sample
from lookcloser.data import dataset as datasets
from lookcloser.data.dataset import Batch, Item
from lookcloser.data.vocabulary import START, with_vocabulary
from lookcloser.training import loaders
from lookcloser.training.loaders import make_loaders
from lookcloser.training.options import make_options
from lookcloser.training.parallel import processes

PREPROCESSING = Preprocessing(Grid(8, 8))
CLASSES: Task = "classification"


def catalog(counts: tuple[int, ...] = (6, 4), val: int = 3, task: Task = CLASSES) -> Catalog:
    """Images of one color each: the number of the image, among all of the data."""
    names, samples = tuple("abcd"[: len(counts)]), []
    splits = [*((name, n, "train") for name, n in zip(names, counts, strict=True))]
    splits += [(names[0], val, "val")]
    for name, count, split in splits:
        for number in range(count):
            pixels = np.full((8, 8, 3), len(samples), np.uint8)
            captions = (f"a {name} bird", f"one {name}") if task == "captioning" else ()
            labels = (name, "d") if task == "multilabel" else (name,)
            samples.append(Sample(f"{split}/{name}/{number}.png", pixels, labels, captions,
                                  split=split))  # fmt: skip
    names = {"multilabel": tuple("abcd"), "captioning": ()}.get(task, names)
    return Catalog(Path("data"), "", task, names, tuple(samples))


Loaders = tuple[DataLoader[Item], DataLoader[Item] | None]


def made(data: Catalog, *, pairs: bool = False, **options: Any) -> Loaders:
    chosen = {"size": 8, "batch_size": 4, "workers": 0, "augment": "none", "flip": False}
    return make_loaders(data, make_options(**chosen | options), PREPROCESSING, pairs=pairs)


def drawn(loader: DataLoader[Item] | None) -> list[Batch]:
    assert loader is not None
    return list(loader)


def order(loader: DataLoader[Item] | None, epoch: int = 0) -> list[list[int]]:
    """The images of each batch by their number, which are not read for it."""
    assert loader is not None
    batches: Any = loader.batch_sampler
    batches.begin_at(epoch, 0)
    return [[index for _, index in batch] for batch in batches]


def joined(batches: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


class TestOrder:
    def test_training_sees_every_image_once_in_an_order_of_the_epoch(self) -> None:
        train, _ = made(catalog())
        first, again, second = (order(train, epoch) for epoch in (0, 0, 1))
        assert sorted(joined(first)) == list(range(10))
        assert first == again != second
        assert joined(second) != sorted(joined(second))
        assert [len(batch) for batch in first] == [4, 4, 2]

    def test_it_does_not_depend_on_how_the_data_lists_its_images(self) -> None:
        data = catalog()
        turned = replace(data, samples=data.samples[::-1])
        ours, theirs = (drawn(made(one)[0]) for one in (data, turned))
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.targets, other.targets)

    def test_validation_keeps_the_order_takes_twice_as_many_and_leaves_none_out(self) -> None:
        _, val = made(catalog(val=9))  # a last batch of one image
        assert order(val, 0) == order(val, 5) == [list(range(8)), [8]]

    def test_a_last_batch_of_one_image_is_no_batch_to_train_on(self) -> None:
        train, _ = made(catalog((5, 4)))
        assert [len(batch) for batch in order(train)] == [4, 4]
        train, _ = made(catalog((5, 4)), batch_size=1)
        assert len(order(train)) == 9, "who asks for single images gets them"

    def test_without_val_there_is_no_loader(self) -> None:
        assert made(catalog(val=0))[1] is None

    @pytest.mark.parametrize("task", ["classification", "captioning"])
    def test_a_single_image_is_refused(self, task: Task) -> None:
        data = catalog((1,), val=2, task=task)
        data = with_vocabulary(data) if task == "captioning" else data
        with pytest.raises(LookcloserError, match="data: 1 image of train makes no batch.*Add"):
            made(data, **({"method": "gru"} if task == "captioning" else {}))


class TestDraws:
    def test_balanced_by_sampling_classes_come_equally_often(self) -> None:
        train, _ = made(catalog((90, 10), val=0), balance="sampling", batch_size=20)
        seen = [row for epoch in range(10) for row in joined(order(train, epoch))]
        assert len(seen) == 1_000, "an epoch is as long as without"
        rare = sum(row >= 90 for row in seen)
        assert rare / 1_000 == pytest.approx(0.5, abs=0.08)  # five standard deviations
        weighted, _ = made(catalog((90, 10)), balance="weights", batch_size=20)
        assert sorted(joined(order(weighted))) == list(range(100)), "weights are of the loss"

    @pytest.mark.parametrize(
        ("options", "each", "classes"),
        [({}, 2, 2), ({"images_per_class": 1, "batch_size": 3}, 1, 3), ({"batch_size": 1}, 2, 2)],
    )
    def test_batches_to_compare_have_classes_of_several_images(
        self, options: dict[str, Any], each: int, classes: int
    ) -> None:
        train, _ = made(catalog((4, 4, 4)), pairs=True, method="osme", **options)
        batches = order(train)
        assert sorted(joined(batches)) == list(range(12))
        for batch in batches:
            of_class = Counter(row // 4 for row in batch)
            assert set(of_class.values()) == {each}
            assert 2 <= len(of_class) <= classes

    def test_they_cannot_be_balanced_by_sampling_as_well(self) -> None:
        with pytest.raises(UsageError) as refused:
            made(catalog(), pairs=True, method="osme", balance="sampling")
        assert "--balance sampling: not with --method osme" in refused.value.for_the_command_line()
        made(catalog(), pairs=True, method="osme", balance="weights")

    @pytest.mark.parametrize(("size", "together"), [(4, [4, 6]), (6, [6, 4]), (8, [10])])
    def test_processes_share_each_batch_of_one(
        self, monkeypatch: pytest.MonkeyPatch, size: int, together: list[int]
    ) -> None:
        """A last batch of which one would get a single image joins the one before it."""
        alone = joined(order(made(catalog(val=7), batch_size=size)[0]))
        monkeypatch.setattr(processes, "world_size", lambda: 2)
        shares, validated = [], []
        for rank in range(2):
            monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
            train, val = made(catalog(val=7), batch_size=size)
            shares.append(order(train))
            validated += joined(order(val))
        batches = [one + other for one, other in zip(*shares, strict=True)]
        assert [len(batch) for batch in batches] == together
        assert sorted(batches[0]) == sorted(alone[: together[0]])
        assert sorted(joined(batches)) == list(range(10))
        assert sorted(validated) == list(range(7))


class TestTargets:
    def test_tags_are_zeros_and_ones(self) -> None:
        (batch, *_) = drawn(made(catalog(task="multilabel"))[1])
        assert batch.targets.tolist() == [[1, 0, 0, 1]] * 3

    def test_captions_are_words_as_many_as_the_longest_has_or_as_asked_for(self) -> None:
        data = with_vocabulary(catalog(task="captioning"))
        (batch, *_) = drawn(made(data, method="gru")[0])
        assert batch.targets.shape == (4, 3 + 2)
        assert set(batch.targets[:, 0].tolist()) == {START}
        (batch, *_) = drawn(made(data, method="gru", max_length=2)[0])
        assert batch.targets.shape == (4, 2 + 2)

    @pytest.mark.parametrize(
        ("task", "flip", "mirrored"),
        [
            ("classification", None, True), ("multilabel", None, True), ("captioning", None, False),
            ("captioning", True, True), ("classification", False, False),
        ],
    )  # fmt: skip
    def test_who_says_left_and_right_is_not_mirrored(
        self, task: Task, flip: bool | None, mirrored: bool
    ) -> None:
        data = with_vocabulary(catalog(task=task)) if task == "captioning" else catalog(task=task)
        dataset: Any = made(data, flip=flip)[0].dataset
        assert ("RandomHorizontalFlip" in str(dataset.transform)) == mirrored


@pytest.fixture
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaders that are asked for nothing, on any number of cores."""
    monkeypatch.setattr(datasets, "DataLoader", lambda *_, num_workers, **__: Fake(num_workers))


@pytest.mark.usefixtures("_no_processes")
class TestWorkers:
    @pytest.mark.parametrize(
        ("cores", "gpu", "shared_by", "loading"),
        [(1, False, 1, 0), (3, False, 1, 1), (64, False, 1, 8), (4, True, 1, 4), (16, True, 4, 4)],
    )
    def test_without_a_wish_they_take_the_cores_that_are_free(
        self,
        monkeypatch: pytest.MonkeyPatch,
        cores: int,
        gpu: bool,
        shared_by: int,
        loading: int,
    ) -> None:
        monkeypatch.setattr(loaders.os, "cpu_count", lambda: cores)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(processes, "local_world_size", lambda: shared_by)
        train, val = made(catalog((16, 4)), workers=None)
        assert train.num_workers == loading
        assert val is not None
        assert val.num_workers == min(loading, 2)

    def test_few_images_are_read_sooner_than_workers_start(self) -> None:
        assert made(catalog((8, 7)), workers=3)[0].num_workers == 0
        assert made(catalog((8, 8)), workers=3)[0].num_workers == 3

    def test_fewer_than_asked_for_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets, "affordable_workers", lambda workers, _bytes: workers // 2)
        said: list[str] = []
        options = make_options(size=8, batch_size=4, workers=4)
        train, _ = make_loaders(catalog((9, 9)), options, PREPROCESSING, pairs=False,
                                say=said.append)  # fmt: skip
        assert train.num_workers == 2
        (words,) = said
        assert words.startswith("2 loading processes instead of 4: /dev/shm is too small")


class Fake:
    """A loader that starts no processes."""

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers

    def __len__(self) -> int:
        return 1


def test_a_val_that_several_processes_cannot_share_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "world_size", lambda: 4)
    with pytest.raises(LookcloserError, match="3 images of val for 4 processes.*fewer --devices"):
        made(catalog((8, 8)), batch_size=8)
    _, val = made(catalog((8, 8), val=4), batch_size=8)
    assert val is not None
