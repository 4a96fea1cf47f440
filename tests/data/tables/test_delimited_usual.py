"""What stands above the header, between the columns, and in other forms than CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.data.readers.tables.delimited import is_table_name, read_columns, read_table


@pytest.mark.parametrize(
    "above", ["sep=;", "# made by hand", "", "\n\n", "Birds of 2026\n", "# a\n\nsep=;\n# b"]
)
def test_lines_above_the_header(tmp_path: Path, above: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{above}\nimage;label\n1.jpg;a\n")
    assert read_columns(path) == ("image", "label")
    ((line, cells),) = read_table(path).rows
    assert cells == {"image": "1.jpg", "label": "a"}
    assert path.read_text().splitlines()[line - 1] == "1.jpg;a"


def test_a_header_that_begins_with_a_sign(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("#image,label\n1.jpg,a\n")
    assert read_columns(path) == ("#image", "label")


@pytest.mark.parametrize("between", [",", ";", "\t", "|", "  "])
def test_separators(rows: Any, between: str) -> None:
    catalog = rows(f"image{between}label", f"{{i}}.jpg{between}{{c}}")
    assert catalog.names == ("a", "b")


def test_one_column_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image\n1.jpg\n2.jpg\n")
    assert [cells["image"] for _, cells in read_table(path).rows] == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("encoding", ["utf-32", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(beside: Any, encoding: str) -> None:
    lines = [f"{i}.jpg,{('grün', 'rot')[i % 2]}" for i in range(6)]
    assert read_data(beside("image,label", *lines, encoding=encoding)).names == ("grün", "rot")


class TestJson:
    @pytest.mark.parametrize(
        "content",
        [
            [{"image": f"{i}.jpg", "label": "ab"[i % 2]} for i in range(6)],
            {f"{i}.jpg": "ab"[i % 2] for i in range(6)},
            {f"{i}.jpg": {"label": "ab"[i % 2], "size": i} for i in range(6)},
        ],
        ids=["list", "by image", "by image, objects"],
    )
    def test_labels(self, beside: Any, content: object) -> None:
        catalog = read_data(beside(json.dumps(content), name="labels.json"))
        assert (catalog.layout, catalog.names) == ("table", ("a", "b"))

    def test_lists_are_tags(self, beside: Any) -> None:
        content = {f"{i}.jpg": ["a", "b"][: 1 + i % 2] for i in range(6)}
        assert read_data(beside(json.dumps(content), name="x.json")).task == "multilabel"

    @pytest.mark.parametrize(
        "content",
        [["a", "b"], {"a": "b"}, [{"image_id": 1, "category_id": 2, "score": 1}], {}, [], 3],
    )
    def test_what_holds_no_images_is_no_table(self, tmp_path: Path, content: object) -> None:
        (tmp_path / "x.json").write_text(json.dumps(content))
        assert not is_table_name(tmp_path / "x.json")

    @pytest.mark.parametrize("text", ['[{"image": ', '[{"image": "a.jpg"}, 3]', "[{}"])
    def test_what_is_damaged_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(LookcloserError, match="x.json"):
            read_table(tmp_path / "x.json")


class TestSpreadsheets:
    def test_titles_and_other_sheets_are_passed_over(self, beside: Any) -> None:
        openpyxl = pytest.importorskip("openpyxl", reason="spreadsheets need openpyxl")
        root = beside("", name="notes.md")
        book = openpyxl.Workbook()
        book.active.append(["read me"])
        sheet = book.create_sheet()
        for row in (["Birds of 2026"], [], ["image", "label"]):
            sheet.append(row)
        for i in range(6):
            sheet.append([f"{i}.jpg", "ab"[i % 2]])
        book.save(root / "birds.xlsx")
        assert read_data(root).names == ("a", "b")
