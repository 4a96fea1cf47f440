"""Images that cannot be read: refused before, counted all the while, and too many of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lookcloser.core import LookcloserError
from lookcloser.core.archives import Packed
from lookcloser.data import Catalog, Sample
from lookcloser.data.dataset import Batch, ImageDataset, Item
from lookcloser.data.targets import ClassTargets
from lookcloser.training import reading
from lookcloser.training.parallel import processes
from lookcloser.training.reading import DataWatch, check_readable

PIXELS = np.zeros((2, 2, 3), np.uint8)


def catalog(*samples: Sample) -> Catalog:
    return Catalog(Path("data"), "", "classification", ("a",), samples)


def broken(number: int, split: str = "train") -> Sample:
    return Sample(f"{split}/{number}.png", Path(f"nowhere/{number}.png"), ("a",), split=split)


def whole(number: int, split: str = "train") -> Sample:
    return Sample(f"{split}/{number}.png", PIXELS, ("a",), split=split)


class TestBefore:
    @pytest.mark.parametrize(
        "samples",
        [
            (),
            (whole(0),),
            (broken(0), broken(1), whole(2), whole(0, "val")),
            (whole(0), broken(1, "val"), whole(2, "val")),
            (whole(0), broken(0, "test")),  # which training does not read
        ],
        ids=len,
    )
    def test_one_image_of_each_split_is_enough(self, samples: tuple[Sample, ...]) -> None:
        check_readable(catalog(*samples))

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_a_split_without_one_is_named_with_the_first_reason(self, split: str) -> None:
        other = "val" if split == "train" else "train"
        with pytest.raises(LookcloserError) as refused:
            check_readable(catalog(whole(9, other), broken(0, split), broken(1, split)))
        words = str(refused.value)
        assert f"None of the 2 images of the {split} split can be read; the first: " in words
        assert "0.png" in words
        assert "1.png" not in words
        assert ".." not in words
        assert "lookcloser data check DATA" in words

    def test_no_more_images_are_read_than_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[object] = []
        monkeypatch.setattr(reading, "load_image", read.append)
        check_readable(catalog(*map(whole, range(5)), *(whole(n, "val") for n in range(5))))
        assert len(read) == 2


def loader(count: int, split: str = "train", **changed: Sample) -> DataLoader[Item]:
    """Of images in memory, but those that are given by their number."""
    samples = [changed.get(f"_{number}", whole(number, split)) for number in range(count)]
    return DataLoader(ImageDataset(samples, ClassTargets(("a",)), lambda _: torch.zeros(1)))


def batch(*read: int, lost: tuple[int, ...] = (), split: str = "train") -> Batch:
    rows = torch.tensor(read, dtype=torch.long)
    skipped = [(f"{split}/{number}.png", f"reason {number}.") for number in lost]
    return Batch(torch.empty(0), rows, rows, [], skipped)


class Watched:
    """A watch, and a trainer that asks it as Lightning does.

    Args:
        train: How many images there are to train on.
        val: And to validate on; 0: there is no such loader.
    """

    def __init__(self, train: int = 20, val: int = 0, **changed: Sample) -> None:
        self.has_val = val > 0
        self.watch = DataWatch(
            Path("my run"), loader(train, **changed), loader(val, "val") if val else None
        )

    def epoch(self, *batches: Batch, val: tuple[Batch, ...] = ()) -> None:
        nobody: Any = None
        self.watch.on_train_epoch_start()
        for index, one in enumerate(batches):
            self.watch.on_train_batch_start(nobody, nobody, one, index)
        if self.has_val:
            self.watch.on_validation_epoch_start()
            for index, one in enumerate(val):
                self.watch.on_validation_batch_start(nobody, nobody, one, index)
            self.watch.on_validation_epoch_end()
        self.watch.on_train_epoch_end()


ALL = batch(*range(20))


class TestMeanwhile:
    def test_a_broken_image_is_listed_and_never_lost(self) -> None:
        watched = Watched()
        for _ in range(2):
            watched.epoch(batch(*range(12), lost=tuple(range(12, 20))))
        assert not watched.watch.lacks_images()
        assert watched.watch.skipped == {f"train/{n}.png": f"reason {n}." for n in range(12, 20)}

    @pytest.mark.parametrize(("lost", "ends"), [(1, False), (2, False), (3, True), (20, True)])
    def test_more_than_a_tenth_lost_ends_the_training(self, lost: int, ends: bool) -> None:
        watched = Watched()
        watched.epoch(ALL)
        rest = batch(*range(lost, 20)), batch(lost=tuple(range(lost)))
        if not ends:
            watched.epoch(*rest)
            assert watched.watch.lacks_images()
            return
        with pytest.raises(LookcloserError) as ended:
            watched.epoch(*rest)
        many = "all" if lost == 20 else f"{lost} of 20"
        assert str(ended.value).startswith(
            f"my run: the data went away: {many} training images of this epoch cannot be read any "
            "more (reason 0); the epochs before are kept."
        )
        assert "`lookcloser train --resume 'my run'`" in str(ended.value)

    def test_every_epoch_is_counted_anew(self) -> None:
        watched = Watched()
        watched.epoch(ALL)
        for _ in range(4):  # two of each, which are more than a tenth of one epoch
            watched.epoch(batch(*range(2, 20), lost=(0, 1)))
        watched.epoch(ALL)
        assert not watched.watch.lacks_images()

    def test_images_that_were_never_read_are_lost_with_their_folder(self, tmp_path: Path) -> None:
        def at(place: Path | Packed) -> Sample:
            return replace(whole(0), source=place)

        (tmp_path / "a.tar").touch()
        there = {"_0": at(tmp_path / "0.png"), "_1": at(Packed(tmp_path / "a.tar", "1.png", 0, 1))}
        gone = {"_2": at(tmp_path / "no" / "2.png"), "_3": at(Packed(tmp_path / "b", "3", 0, 1))}
        watched = Watched(4, **{k: replace(v, name=f"train/{k[1:]}.png")
                                for k, v in (there | gone).items()})  # fmt: skip
        watched.watch.on_train_epoch_start()
        nobody: Any = None
        watched.watch.on_train_batch_start(nobody, nobody, batch(lost=(0, 1)), 0)
        assert not watched.watch.lacks_images(), "broken files, whose place is there"
        for number in (2, 3):
            watched.watch.on_train_epoch_start()
            watched.watch.on_train_batch_start(nobody, nobody, batch(lost=(number,)), 0)
            assert watched.watch.lacks_images()

    def test_an_epoch_of_nothing_but_broken_images_is_not_kept(self) -> None:
        with pytest.raises(LookcloserError, match="all training images .* read any more"):
            Watched(2).epoch(batch(lost=(0, 1)))

    def test_an_epoch_that_was_done_already_says_nothing(self) -> None:
        Watched().epoch()

    def test_validation_is_watched_on_its_own(self) -> None:
        watched = Watched(val=10)
        right = batch(*range(10), split="val")
        watched.epoch(ALL, val=(right,))
        watched.epoch(ALL, val=(batch(*range(1, 10), lost=(0,), split="val"),))
        assert watched.watch.skipped == {"val/0.png": "reason 0."}
        assert not watched.watch.lacks_images(), "of which only training images are asked"
        with pytest.raises(LookcloserError, match="2 of 10 validation images"):
            watched.epoch(ALL, val=(batch(*range(2, 10), lost=(0, 1), split="val"),))

    def test_lost_training_images_are_told_before_validation_costs_time(self) -> None:
        watched = Watched(val=10)
        watched.epoch(ALL, val=(batch(*range(10), split="val"),))
        with pytest.raises(LookcloserError, match="all training images"):
            watched.epoch(batch(lost=tuple(range(20))), val=(batch(lost=(0,), split="val"),))
        assert "val/0.png" not in watched.watch.skipped

    def test_a_resumed_run_remembers_what_it_skipped(self) -> None:
        first, second = Watched().watch, Watched().watch
        first.skipped["train/0.png"] = "broken"
        state = first.state_dict()
        second.load_state_dict(state)
        second.skipped["train/1.png"] = "too"
        assert state == {"skipped": {"train/0.png": "broken"}}


def test_all_processes_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has lost more than a tenth of its images or none; of all it is less, and more."""
    others = {"images": 40, "lost": 0}

    def all_of(value: Any) -> list[Any]:
        return [value, (others["images"], others["lost"], "") if isinstance(value, tuple) else {}]

    monkeypatch.setattr(processes, "all_of", all_of)
    watched = Watched()
    watched.epoch(ALL)
    watched.epoch(batch(*range(4, 20), lost=(0, 1, 2, 3)))
    others["lost"] = 20
    with pytest.raises(LookcloserError, match="24 of 80 training images"):
        watched.epoch(batch(*range(4, 20), lost=(0, 1, 2, 3)))


def test_skipped_images_of_all_processes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched()
    theirs = {"train/7.png": "theirs"}
    monkeypatch.setattr(
        processes, "all_of", lambda value: [value, theirs] if isinstance(value, dict) else [value]
    )
    watched.epoch(batch(*range(19), lost=(19,)))
    assert watched.watch.skipped == {"train/19.png": "reason 19.", **theirs}
