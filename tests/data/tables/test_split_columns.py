from __future__ import annotations

from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data


def splits(catalog: Catalog) -> list[str | None]:
    return [sample.split for sample in catalog.samples]


@pytest.mark.parametrize("name", ["fold", "data_split", "mode", "where it belongs"])
def test_a_column_of_splits_is_one_whatever_its_name(rows: Any, beside: Any, name: str) -> None:
    lines = [f"{i}.jpg,{'ab'[i % 2]},{('Train', 'test', 'val')[i // 2]}" for i in range(6)]
    catalog = read_data(beside(f"image,label,{name}", *lines))
    assert splits(catalog) == ["train", "train", "test", "test", "val", "val"]
    assert f"labels.csv: '{name}' is the split" in catalog.notes


def test_words_around_the_split_where_the_name_says_it(beside: Any) -> None:
    lines = [f"{i}.jpg,{'ab'[i % 2]},{('Training', 'PublicTest')[i // 4]}" for i in range(6)]
    assert splits(read_data(beside("image,label,Usage", *lines), val_share=0)) == [
        *["train"] * 4,
        *["test"] * 2,
    ]


@pytest.mark.parametrize(
    ("name", "marks", "expected"),
    [
        ("is_train", "111100", "ttttee"),
        ("is_training_img", "111100", "ttttee"),
        ("is_test", "000011", "ttttee"),
        ("is_valid", "000011", "ttttvv"),
    ],
)
def test_flags(beside: Any, name: str, marks: str, expected: str) -> None:
    words = {"1": "True", "0": "False"}
    lines = [f"{i}.jpg,{'ab'[i % 2]},{words[marks[i]]}" for i in range(6)]
    found = read_data(beside(f"image,label,{name}", *lines), val_share=0, test_share=0)
    assert splits(found) == [{"t": "train", "e": "test", "v": "val"}[sign] for sign in expected]
    assert any(f"'{name}' is" in note for note in found.notes)


def test_flags_of_every_split(beside: Any) -> None:
    marks = ["1,0,0", "1,0,0", "0,1,0", "0,1,0", "0,0,1", "0,0,1"]
    lines = [f"{i}.jpg,{'ab'[i % 2]},{marks[i]}" for i in range(6)]
    catalog = read_data(beside("image,label,is_train,is_val,is_test", *lines))
    assert splits(catalog) == ["train", "train", "val", "val", "test", "test"]


def test_an_image_in_two_splits_is_refused(beside: Any) -> None:
    lines = [f"{i}.jpg,{'ab'[i % 2]},1,{i // 5}" for i in range(6)]
    with pytest.raises(LookcloserError, match=r"line 7: in several splits \(train, test\)"):
        read_data(beside("image,label,is_train,is_test", *lines))


def test_classes_of_that_name_are_classes(rows: Any) -> None:
    catalog = rows("image,train,bus", "{i}.jpg,1,0")
    assert splits(catalog) == ["train"] * 6
    assert catalog.samples[0].labels == ("train",)


def test_numbers_without_a_name_are_no_split(rows: Any) -> None:
    """Pandas writes the numbers of the rows into a first column without a name."""
    catalog = rows(",image,label", "{i},{i}.jpg,{c}")
    assert [sample.labels for sample in catalog.samples[:2]] == [("a",), ("b",)]
