"""Splits, tags and boxes as people write them into cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.types import Box
from lookcloser.data.readers.tables.cells import (
    Form,
    boxes_as,
    read_boxes,
    tag_splitter,
)
from lookcloser.data.readers.tables.columns import Columns
from lookcloser.data.readers.tables.split_columns import split_cell


@pytest.mark.parametrize(
    ("text", "split"),
    [("train", "train"), ("Training", "train"), ("DEV", "val"), ("valid", "val"), ("", None)],
)
def test_words_of_splits(text: str, split: str | None) -> None:
    assert split_cell("t line 2", text) == split


def test_a_word_that_is_no_split_names_those_there_are() -> None:
    with pytest.raises(LookcloserError, match=r"^t line 2: '7' is not a split\. Allowed: train,"):
        split_cell("t line 2", "7")


@pytest.mark.parametrize(
    ("cells", "tags"),
    [
        # What pandas, NumPy and databases make of a list.
        (["['a', 'b c']", "['d']", ""], [["a", "b c"], ["d"], []]),
        (["['a' 'b c']", "['d']"], [["a", "b c"], ["d"]]),
        (["('a', 'b')", "('cat',)", "('cat')"], [["a", "b"], ["cat"], ["cat"]]),
        (["{'z', 'b', 'a'}", "{'a'}"], [["z", "b", "a"], ["a"]]),
        (["{z,b}", "{}"], [["z", "b"], []]),
        (['["caf\\u00e9", null, "b"]', "[]"], [["café", "b"], []]),
        (["[a, b]", "[]", "[ b ]"], [["a", "b"], [], ["b"]]),
        (["[1, 2]", "[3]"], [["1", "2"], ["3"]]),
        # What separates tags elsewhere is a part of one in a list.
        (['["a;b", "c"]', '["x, y"]'], [["a;b", "c"], ["x, y"]]),
        # A list in some cells only is none.
        (["[a];[b]", "[a]"], [["[a]", "[b]"], ["[a]"]]),
        (["(old) cat", "dog"], [["(old) cat"], ["dog"]]),
        (["a;b", "b|c", " ; a ;"], [["a", "b"], ["b", "c"], ["a"]]),
        (["a,b", "c d"], [["a", "b"], ["c d"]]),
        (["a b", "b"], [["a", "b"], ["b"]]),
        (["a b", "c"], [["a b"], ["c"]]),
    ],
)
def test_tags_are_told_apart_by_all_cells_together(cells: Any, tags: Any) -> None:
    split, _ = tag_splitter(cells)
    assert [split(cell) for cell in cells] == tags


@pytest.mark.parametrize("cell", ["[" * 3000 + "]" * 3000, "['a', b()]", "[1,", "{'a': }", "(a"])
def test_what_only_looks_like_a_list_is_never_run_and_harms_nothing(cell: str) -> None:
    split, _ = tag_splitter([cell])
    assert all(isinstance(tag, str) for tag in split(cell))


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["a;b", "c"], None),
        (["a"], None),
        ([], None),
        (["['a']"], "Tags are lists"),
        (["a,b"], "Tags are separated by ','"),
        (["a b", "a"], "Tags are separated by blanks"),
        (["a & b", "a"], "Tags are separated by '&'"),
    ],
)
def test_a_guess_is_said(cells: list[str], note: str | None) -> None:
    assert tag_splitter(cells)[1] == note


def boxes(kind: Form, *texts: str) -> list[Box]:
    names = [str(number) for number in range(len(texts))]
    return read_boxes("t line 2", dict(zip(names, texts, strict=True)), names, kind)


@pytest.mark.parametrize(
    ("kind", "texts", "expected"),
    [
        ("corners", ("1", "2", "3.5", "4."), [(1, 2, 3.5, 4)]),
        ("corners", ("-1", "+2", ".5", "1e1"), [(-1, 2, 0.5, 10)]),
        ("size", ("1", "2", "3", "4"), [(1, 2, 4, 6)]),
        ("size", ("[1 2 3 4]",), [(1, 2, 4, 6)]),
        ("size", ("[[1, 2, 3, 4], [5, 6, 7, 8]]",), [(1, 2, 4, 6), (5, 6, 12, 14)]),
        ("corners", ("", "", "", ""), []),
        ("corners", ("[ ]",), []),
    ],
)
def test_boxes_of_a_row(kind: Form, texts: tuple[str, ...], expected: list[Box]) -> None:
    assert boxes(kind, *texts) == expected


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("corners", ("1", "2", "3", "")),
        ("corners", ("1", "2", "3", "4 px")),
        ("corners", ("3", "2", "3", "4")),
        ("corners", ("1", "5", "3", "4")),
        ("corners", ("nan", "2", "3", "4")),
        ("corners", ("1", "2", "inf", "4")),
        ("corners", ("1", "2", "9" * 400, "4")),
        ("size", ("1", "2", "0", "4")),
        ("size", ("1", "2", "3", "-4")),
        ("size", ("[1, 2, 3]",)),
        ("size", ("[1, 2, 3, 4, 5]",)),
        ("corners", ("[[1, 2, 3, 4], [5, 6, 7]]",)),
        ("size", ("none",)),
    ],
)
def test_what_is_no_box_is_refused_whole(kind: Form, texts: tuple[str, ...]) -> None:
    allowed = "x0 < x1 and y0 < y1" if kind == "corners" else "the last two above 0"
    with pytest.raises(LookcloserError, match=f"^t line 2: .* is not a box.*{allowed}"):
        boxes(kind, *texts)


def listed(kind: Any, *cells: str, file: Path) -> tuple[Form | None, str | None]:
    columns = Columns("image", "label", {"label": "label"}, None, ("bbox",), kind, ())
    return boxes_as(columns, [(file, {"bbox": cell}) for cell in cells])


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (("[10, 10, 20, 20]",), "size"),  # both would do
        (("[10, 10, 20, 20]", "[10, 10, 31, 20]"), "size"),  # to the pixel beyond the edge
        (("[10, 10, 20, 20]", "[10, 10, 32, 20]"), "corners"),
        (("[10, 10, 20, 22]",), "corners"),
        (("[10, 20, 5, 8]", "[1, 1, 2, 2]"), "size"),
        (("[]", ""), "size"),
    ],
)
def test_the_size_of_the_image_decides(write: Any, cells: tuple[str, ...], kind: str) -> None:
    file = write("0.jpg", size=(40, 30)) / "0.jpg"
    said = "x, y, width, height" if kind == "size" else "x0, y0, x1, y1"
    assert listed("list", *cells, file=file) == (kind, f"'bbox' is read as {said}")


def test_images_that_are_not_there_decide_nothing(tmp_path: Path) -> None:
    assert listed("list", "[10, 10, 900, 900]", file=tmp_path / "0.jpg")[0] == "size"


def test_shares_of_the_image_are_no_pixels(tmp_path: Path) -> None:
    for kind in ("list", "corners", "size"):
        found, note = listed(kind, "[0, 0.1, 0.5, 1]", "[0, 0, 1, 1]", file=tmp_path / "0.jpg")
        assert found is None
        assert note == "Boxes in shares of the image (bbox) are not read"
    assert listed("size", "[0, 0, 1, 2]", file=tmp_path / "0.jpg") == ("size", None)
    assert read_boxes("t line 2", {"bbox": "[0, 0, 1, 1]"}, ("bbox",), None) == []
