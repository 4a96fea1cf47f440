"""Texts of data in CSV files: no formula for a spreadsheet, and the same text for us."""

import csv
import io

import pytest

from lookcloser.core.storage.cells import cell_text, safe_cell, safe_rows

FORMULAS = ["=1+1", "+1.jpg", "-rf", "@eaDir/a.jpg", "\t=1", "\r=1", "=", "'=1", "''@", "-0.5"]
PLAIN = ["red", "", "'quoted'", "a=b", "1-2", " =1", "ä", "'", "''", "0.5"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_is_a_text(text):
    assert safe_cell(text) == f"'{text}"
    assert cell_text(safe_cell(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_what_does_not_stays(text):
    assert safe_cell(text) == cell_text(text) == text


@pytest.mark.parametrize("value", [-0.5, -1, None, True])
def test_numbers_stay_numbers(value):
    assert safe_cell(value) is value


def test_every_text_comes_back_through_a_file():
    rows = [{"label": text, "score": -0.5} for text in FORMULAS + PLAIN]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["label", "score"])
    writer.writeheader()
    writer.writerows(safe_rows(rows))
    file.seek(0)
    read = list(csv.DictReader(file))
    assert [cell_text(row["label"]) for row in read] == FORMULAS + PLAIN
    assert not [row["label"] for row in read if row["label"][:1] in tuple("=+-@\t\r")]
    assert {row["score"] for row in read} == {"-0.5"}
