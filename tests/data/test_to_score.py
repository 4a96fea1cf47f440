"""What is scored of data that a model has, or has not, seen: no test split is made twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.data import read_data, read_to_score
from lookcloser.data.read import MADE, SPLITS

HEADER = ModelHeader("cam", {"num_classes": 2}, "classification", ("a", "b"),
                     Preprocessing(size=Grid(8, 8)))  # fmt: skip


def trained_on(made: list[str] | None) -> ModelHeader:
    splits = {"seed": 0, "val_share": 0.1, "test_share": 0.2}
    return replace(HEADER, provenance={SPLITS: splits if made is None else {**splits, MADE: made}})


@pytest.fixture
def birds(write: Any) -> Path:
    parts = {"birds/train": 10, "birds/test": 5, "new": 10}
    names = [f"{p}/{c}/{i}.jpg" for p, n in parts.items() for c in "ab" for i in range(n)]
    return Path(write(*names))


def counts(path: Path, header: ModelHeader) -> dict[str, int]:
    catalog = read_to_score(path, header)
    return {split: len(catalog.split(split)) for split in catalog.splits}


def test_data_that_brings_its_splits_keeps_them(birds: Path) -> None:
    for made in (None, ["val"], ["train", "val", "test"]):
        assert counts(birds / "birds", trained_on(made)) == {"train": 18, "val": 2, "test": 10}


def test_where_the_training_had_a_test_all_of_other_data_is_test(birds: Path) -> None:
    assert counts(birds / "new", trained_on(["val"])) == {"test": 20}
    assert counts(birds / "birds" / "test", trained_on(["val"])) == {"test": 10}


def test_a_folder_of_training_images_has_no_test(birds: Path) -> None:
    assert counts(birds / "birds" / "train", trained_on(["val"])) == {"train": 20}


@pytest.mark.parametrize("made", [None, ["train", "val", "test"]])
def test_where_the_training_made_one_it_is_made_again(birds: Path, made: Any) -> None:
    assert counts(birds / "new", trained_on(made)) == {"train": 14, "val": 2, "test": 4}


def test_a_catalog_says_which_splits_were_made(birds: Path) -> None:
    assert read_data(birds / "new").made == ("train", "val", "test")
    assert read_data(birds / "birds").made == ("val",)
    assert read_data(birds / "birds", val_share=0).made == ()
    assert read_to_score(birds / "new", trained_on(["val"])).made == ()
