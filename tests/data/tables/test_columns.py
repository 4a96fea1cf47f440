"""Which column of a table says what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data.readers.tables.columns import (
    Columns,
    has_answer,
    image_column,
    is_on,
    understand,
)
from lookcloser.data.readers.tables.delimited import Table
from lookcloser.data.readers.tables.split_columns import SplitColumns


def meaning(header: str, *rows: str, given: Mapping[str, str] | None = None) -> Columns:
    """Of a table with this header and these rows."""
    columns = header.split(",")
    cells = [dict(zip(map(str.lower, columns), row.split(","), strict=True)) for row in rows]
    table = Table(Path("t.csv"), tuple(columns), tuple(enumerate(cells, 2)))
    return understand(table, given or {})


@pytest.mark.parametrize(
    ("columns", "image"),
    [
        (("id", "image_id", "file_name"), "file_name"),
        (("image", "filename"), "image"),
        (("image-path", "id"), "image-path"),
        (("name", "label"), None),
        ((), None),
    ],
)
def test_the_clearest_name_is_the_image(columns: tuple[str, ...], image: str | None) -> None:
    assert image_column(columns) == image


def test_columns_of_answers() -> None:
    assert has_answer(["x", "class_name"])
    assert has_answer(["Finding Labels"])
    assert has_answer(["sentence"])
    assert not has_answer(["x", "labeled_by", "name"])


@pytest.mark.parametrize(
    ("header", "answer", "value"),
    [
        ("image,label,species", "label", "label"),  # the plain name wins
        ("image,tags,category", "labels", "tags"),
        ("image,Caption,text", "caption", "caption"),
        ("image,species", "label", "species"),
        ("image,keywords", "labels", "keywords"),
        ("image,description", "caption", "description"),
    ],
)
def test_the_answer(header: str, answer: str, value: str) -> None:
    found = meaning(header, ",".join(["0.jpg", "a", "b"][: header.count(",") + 1]))
    assert (found.answer, list(found.values.values())) == (answer, [value])
    assert found.one_label is (answer == "label")


def test_a_table_that_pandas_wrote_with_its_index() -> None:
    found = meaning(",image,label", "0,0.jpg,a", "1,1.jpg,b")
    assert (found.image, found.answer, found.split, found.notes) == ("image", "label", None, ())


@pytest.mark.parametrize(
    ("header", "box", "kind"),
    [
        ("x0,y0,x1,y1", ("x0", "y0", "x1", "y1"), "corners"),
        ("x_max,x_min,y_max,y_min", ("x_min", "y_min", "x_max", "y_max"), "corners"),
        ("left,top,width,height", ("left", "top", "width", "height"), "size"),
        ("x,y,w,h", ("x", "y", "w", "h"), "size"),
        ("bbox_x1,bbox_y1,bbox_x2,bbox_y2", ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
         "corners"),
        ("bounding_box", ("bounding_box",), "list"),
        ("width,height", (), None),
    ],
)  # fmt: skip
def test_columns_of_boxes(header: str, box: tuple[str, ...], kind: str | None) -> None:
    row = ",".join("1" for _ in header.split(","))
    found = meaning(f"image,label,{header}", f"0.jpg,a,{row}")
    assert (found.box, found.box_kind) == (box, kind)
    if box and header != "x0,y0,x1,y1":
        assert found.notes == (f"t.csv: {', '.join(box)} are boxes",)


def test_the_user_says_where_boxes_and_splits_are() -> None:
    given = {"bbox": "Where", "split": "Fold", "label": "x"}
    found = meaning("image,x,where,fold", "0.jpg,a,1 2 3 4,train", given=given)
    assert (found.box, found.box_kind, found.split) == (
        ("where",),
        "list",
        SplitColumns("fold", {}),
    )
    corners = {"x0": "a", "y0": "b", "x1": "c", "y1": "d"}
    found = meaning("image,label,a,b,c,d", "0.jpg,a,1,2,3,4", given=corners)
    assert (found.box, found.box_kind) == (("a", "b", "c", "d"), "corners")


def test_half_a_box_is_refused() -> None:
    with pytest.raises(LookcloserError, match="a box needs columns x0, y0, x1, y1; columns found"):
        meaning("image,label,x0,y0", "0.jpg,a,1,2")


@pytest.mark.parametrize(
    ("values", "split"),
    [(("train", "TEST"), "phase"), (("train", "extra"), None), (("train", ""), None)],
)
def test_another_name_is_a_split_where_all_its_words_are(
    values: tuple[str, ...], split: str | None
) -> None:
    rows = [f"{number}.jpg,a,{value}" for number, value in enumerate(values)]
    found = meaning("image,label,phase", *rows).split
    assert (found and found.column) == split


def test_of_a_number_and_a_name_the_name_is_taken_where_they_say_the_same() -> None:
    rows = ("0.jpg,1,owl", "1.jpg,2.0,wren", "2.jpg,1,owl")
    found = meaning("image,category_id,category_name", *rows)
    assert list(found.values) == ["category_name"]
    assert "'category_name' is the label" in found.notes[0]
    assert "columns not read: 'category_id'" in found.notes[1]
    with pytest.raises(LookcloserError, match="'category_name', 'category_id' may be the label"):
        meaning("image,category_id,category_name", *rows, "3.jpg,3,owl")


@pytest.mark.parametrize(
    ("header", "rows", "classes"),
    [
        ("image,Cat,Dog", ("0.jpg,1,0", "1.jpg,0,1"), {"Cat": "cat", "Dog": "dog"}),
        ("image,Cat,Dog", ("0.jpg,-1,1", "1.jpg,-1,-1"), {"Cat": "cat", "Dog": "dog"}),
        ("image,cat,dog,age", ("0.jpg,1,0,", "1.jpg,0,1,7"), {"cat": "cat", "dog": "dog"}),
    ],
)
def test_one_column_a_class(header: str, rows: tuple[str, ...], classes: Mapping[str, str]) -> None:
    found = meaning(header, *rows)
    assert (found.answer, found.values) == ("one-hot", classes)
    assert not found.one_label


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("image,cat", ("0.jpg,1",)),  # one column alone
        ("image,cat,dog", ("0.jpg,0,0", "1.jpg,0,0")),  # nothing is on
        ("image,cat,dog,place", ("0.jpg,1,0,sea", "1.jpg,0,1,wood")),  # beside words
        ("image,cat,dog", ()),
    ],
)
def test_columns_that_are_no_classes(header: str, rows: tuple[str, ...]) -> None:
    with pytest.raises(LookcloserError, match=r"no column 'label', .* --columns label=cat\."):
        meaning(header, *rows)


def test_yes_in_every_form() -> None:
    assert all(map(is_on, ("1", "1.0", "True", "YES")))
    assert not any(map(is_on, ("0", "-1", "no", "", "2", "on")))


def test_a_role_that_there_is_not_and_a_column_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="size: unknown role of a column. Allowed: image, label,"):
        meaning("image,label", "0.jpg,a", given={"size": "label"})
    with pytest.raises(UsageError, match=r"no column 'kind'\. There are: image, Label"):
        meaning("image,Label", "0.jpg,a", given={"label": "kind"})
    with pytest.raises(LookcloserError, match="no column 'image'; columns found: name, label"):
        meaning("name,label", "0.jpg,a")
