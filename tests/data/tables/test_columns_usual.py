"""Columns whose names say nothing: their cells do, or the table is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lookcloser.core import LookcloserError


@pytest.mark.parametrize("image", ["name", "datei", "uri", "isic_id"])
def test_the_column_that_names_the_images(rows: Any, image: str) -> None:
    catalog = rows(f"{image},label", "{i}.jpg,{c}")
    assert [sample.labels for sample in catalog.samples[:2]] == [("a",), ("b",)]
    assert f"labels.csv: '{image}' is the image" in catalog.notes


@pytest.mark.parametrize("label", ["name", "klasse", "gt", "y"])
def test_the_one_other_column_is_the_label(rows: Any, label: str) -> None:
    catalog = rows(f"image,{label}", "{i}.jpg,{c}")
    assert catalog.names == ("a", "b")
    assert f"labels.csv: '{label}' is the label" in catalog.notes


@pytest.mark.parametrize(
    ("header", "cells", "likely"),
    [
        ("image,age", "{i}.jpg,{i}", "age"),  # numbers may be measures
        ("image,comment", "{i}.jpg,text {i}", "comment"),  # no word comes again
        ("file,plot,kind", "{i}.jpg,{i},{c}", "kind"),  # one of two, of which one is words
        ("image,objects", '{i}.jpg,"[{c}]"', "objects"),  # lists
    ],
)
def test_what_is_not_clear_is_refused(rows: Any, header: str, cells: str, likely: str) -> None:
    with pytest.raises(LookcloserError, match=f"--columns .*label={likely}"):
        rows(header, cells)


@pytest.mark.parametrize(("yes", "no"), [("x", ""), ("1", ""), ("Y", "N"), ("✓", "")])
def test_marks_of_one_column_a_class(rows: Any, beside: Any, yes: str, no: str) -> None:
    from lookcloser.data import read_data

    lines = [f"{i}.jpg,{yes},{no}" if i % 2 else f"{i}.jpg,{no},{yes}" for i in range(6)]
    catalog = read_data(beside("image,cat,dog", *lines))
    assert (catalog.task, catalog.names) == ("classification", ("cat", "dog"))


def test_an_empty_column_is_no_class(rows: Any) -> None:
    catalog = rows("image,a,b,notes", "{i}.jpg,1,0,")
    assert "labels.csv: 2 columns are classes" in catalog.notes
