"""What a resumed run notices of its data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, Sample
from lookcloser.training.callbacks.record import (
    Record,
    Split,
    compare,
    read_record,
    record_of,
    write_record,
)
from lookcloser.training.files import DATA_FILE

PIXELS = np.zeros((4, 5, 3), np.uint8)
NAMES = ("a", "b")
FOLDER = Path("run")


def catalog(train: int = 4, val: int = 2, test: int = 1) -> Catalog:
    samples = [
        Sample(f"{split}/{number}.png", PIXELS, (NAMES[number % 2],), split=split)
        for split, count in (("train", train), ("val", val), ("test", test))
        for number in range(count)
    ]
    return Catalog(Path("data"), "", "classification", NAMES, tuple(samples))


def test_train_and_val_are_recorded_in_any_order() -> None:
    record, data = record_of(catalog()), catalog()
    assert (record.task, record.names) == ("classification", NAMES)
    assert {name: split.images for name, split in record.splits.items()} == {"train": 4, "val": 2}
    assert record_of(replace(data, samples=data.samples[::-1])) == record
    assert record_of(catalog(test=9)) == record, "of test nothing was learned"
    assert list(record_of(catalog(val=0)).splits) == ["train"]


@pytest.mark.parametrize(
    "other",
    [
        lambda s: replace(s, name="train/x.png"),
        lambda s: replace(s, source=PIXELS[:2]),
        lambda s: replace(s, labels=("b",)),
        lambda s: replace(s, labels=("a", "b")),
        lambda s: replace(s, captions=("a bird",)),
        lambda s: replace(s, split="val"),
    ],
)
def test_whatever_is_learned_from_makes_another_record(other: Callable[[Sample], Sample]) -> None:
    first, *rest = catalog().samples
    changed = replace(catalog(), samples=(other(first), *rest))
    assert record_of(changed) != record_of(catalog())


def test_two_images_that_change_places_are_a_change() -> None:
    first, second, *rest = catalog().samples
    swapped = replace(first, labels=second.labels), replace(second, labels=first.labels)
    assert record_of(replace(catalog(), samples=(*swapped, *rest))) != record_of(catalog())


def test_boxes_and_the_order_of_tags_are_none() -> None:
    first, *rest = catalog().samples
    tagged = replace(catalog(), samples=(replace(first, labels=("a", "b")), *rest))
    turned = replace(first, labels=("b", "a"), boxes=(("a", (0.0, 0.0, 1.0, 1.0)),))
    assert record_of(replace(catalog(), samples=(turned, *rest))) == record_of(tagged)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    record = Record("classification", ("Kärntner Huhn", 'a "b"\n'), record_of(catalog()).splits)
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert [file.name for file in tmp_path.iterdir()] == [DATA_FILE]


@pytest.mark.parametrize(
    "text",
    [
        "", "3", "[]", "{", "\xff", "[" * 100_000, '{"task": "x", "names": []}',
        '{"task": "x", "names": [], "splits": []}', '{"task": "x", "names": 3, "splits": {}}',
        '{"task": "x", "names": [], "splits": {"train": 3}}',
        '{"task": "x", "names": [], "splits": {"train": {"images": 3}}}',
        '{"task": "x", "names": [], "splits": {"train": {"images": "many", "digest": ""}}}',
        '{"task": "x", "names": [], "splits": {"train": {"images": 1e999, "digest": ""}}}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / DATA_FILE).write_bytes(text.encode("latin-1"))
    assert read_record(tmp_path) is None


def test_numbers_as_text_can_still_be_compared(tmp_path: Path) -> None:
    values = {"task": "x", "names": [1], "splits": {"train": {"images": "7", "digest": 3}}}
    (tmp_path / DATA_FILE).write_text(json.dumps(values))
    assert read_record(tmp_path) == Record("x", ("1",), {"train": Split(7, "3")})


def record(names: tuple[str, ...] = NAMES, task: str = "classification", **images: int) -> Record:
    return Record(task, names, {name: Split(count, "0") for name, count in images.items()})


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (record(train=4), record(train=4), None),
        (record(), record(train=4), None),  # of an older version
        (record(train=4), record(train=1_200), "train: 1,200 images, were 4"),
        (record(train=1), record(train=2), "train: 2 images, was 1"),
        (record(train=4, val=2), record(train=4), "val: 0 images, were 2"),
        (record(train=4), record(train=4, val=1), "val: 1 image, were 0"),
        (
            record(train=4, val=2),
            record(train=3, val=1),
            "train: 3 images, were 4; val: 1 image, were 2",
        ),
        (
            record(train=4),
            Record("classification", NAMES, {"train": Split(4, "1")}),
            "train: as many images, but other files or labels",
        ),
    ],
)
def test_other_images_are_told(before: Record, now: Record, said: str | None) -> None:
    wanted = [] if said is None else [
        f"The data has changed since the run was started ({said}): "
        "the result will not be that of an undisturbed run"
    ]  # fmt: skip
    assert compare(FOLDER, before, now) == wanted


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (record(), record(task="multilabel"), "it is for multilabel, was for classification"),
        (record(), record(("a", "c")), r"2 classes, were 2; gone: 1 class \('b'\); new: 1 class"),
        (record(("a",)), record(), r"2 classes, was 1; new: 1 class \('b'\)\)"),
        (record(), record(("a",)), r"1 class, were 2; gone: 1 class \('b'\)\)"),
        (record(), record(("b", "a")), "the classes are in another order"),
    ],
)
def test_other_classes_are_refused(before: Record, now: Record, said: str) -> None:
    with pytest.raises(LookcloserError, match=f"run: the data has changed .*{said}"):
        compare(FOLDER, before, now)


def test_the_way_on_can_be_pasted_into_a_shell() -> None:
    for folder, typed in ((Path("my run"), "'my run'"), (Path("{x}"), "'{x}'")):
        with pytest.raises(LookcloserError, match=f"`lookcloser train DATA --weights {typed}`"):
            compare(folder, record(), record(("c",)))
