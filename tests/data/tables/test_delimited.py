"""Tables as rows with line numbers, of every kind of file."""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.tables import delimited, sheets
from lookcloser.data.readers.tables.delimited import is_table_name, read_columns, read_table

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: str | bytes, name: str = "t.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.csv", True), ("A.TSV", True), ("a.jsonl", True), ("a.xlsx", True), (".a.csv", False),
     ("a.csv.gz", False), ("csv", False), ("a.json", False)],
)  # fmt: skip
def test_names_of_tables(name: str, is_one: bool) -> None:
    assert is_table_name(Path(name)) is is_one


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_in_quotes_separate_nothing(save: Save, separator: str) -> None:
    header = separator.join(["image", '"a, b; c, d; e"', "label"])
    table = read_table(save(f"{header}\n0.jpg{separator}1{separator}x\n"))
    assert table.headers == ("image", "a, b; c, d; e", "label")
    assert table.rows == ((2, {"image": "0.jpg", "a, b; c, d; e": "1", "label": "x"}),)


def test_cells_stay_the_text_that_they_are(save: Save) -> None:
    rows = read_table(save('Image, Label\n0.jpg, 007\n1.jpg,NA\n2.jpg,"say ""ä"""\n3.jpg\n')).rows
    assert [cells["label"] for _, cells in rows] == ["007", "NA", 'say "ä"', ""]


def test_lines_are_counted_as_an_editor_counts_them(save: Save) -> None:
    table = read_table(save('image,label\r\n\r\n0.jpg,"a\r\nb"\r\n,,\r\n1.jpg,c\r\n'))
    assert [line for line, _ in table.rows] == [3, 6]
    assert table.where(6) == "t.csv line 6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("\n , \n", "the table is empty"),
        ("image,label,Label\n", "column 'label' comes twice"),
        ("image,label\n0.jpg,a,b\n", 't.csv line 2: 3 cells under 2 columns.*"a, b"'),
        ('image,label\n0.jpg,"a\n1.jpg,b\n', "t.csv line 2: not a row"),
        ('image,label\n0.jpg,a\n1.jpg,"a"b\n', "t.csv line 3: not a row"),
        (b"image,label\n0.jpg,\0a\n", "not text. Save it as UTF-8"),
        (b"image,label\n\x81\x8d\x8f\x90,a\n", "not UTF-8 text .byte 12"),
    ],
)
def test_what_is_wrong_is_named(save: Save, text: Any, message: str) -> None:
    with pytest.raises(LookcloserError, match=message):
        read_table(save(text))


def test_columns_without_a_name_may_be_several(save: Save) -> None:
    assert read_table(save(",image,\n0,a.jpg,x\n")).columns == ("", "image", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_header_is_read_alone(save: Save, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "read_bytes", pytest.fail)
    text = "Image,Größe\n" + "0.jpg,ä\n" * 20_000
    assert read_columns(save(text.encode(encoding))) == ("image", "größe")
    assert read_columns(save("Image,Größe".encode(encoding))) == ("image", "größe")


def test_what_cannot_be_read_has_no_columns(save: Save, tmp_path: Path) -> None:
    for content, name in (("", "t.csv"), ('a,"b', "t.csv"), ("{", "t.jsonl"), ("x", "t.xlsx")):
        assert read_columns(save(content, name)) == ()
    assert read_columns(tmp_path / "nowhere.csv") == ()
    os.mkfifo(tmp_path / "pipe.csv")  # opening it would wait for ever
    assert read_columns(tmp_path / "pipe.csv") == ()


def test_values_of_json_are_the_text_that_a_csv_would_have(save: Save) -> None:
    records = [
        {"image": "0.jpg", "n": 3.0, "x": 2.5, "tags": ["ä", "b"], "on": True, "no": None},
        {"image": " 1.jpg ", "Own": {"a": 1}},
    ]
    lines = "\n\n".join(map(json.dumps, records))
    table = read_table(save(lines, "t.jsonl"))
    assert table.columns == ("image", "n", "x", "tags", "on", "no", "own")
    (first, one), (second, two) = table.rows
    assert (first, second) == (1, 3)
    assert list(one.values()) == ["0.jpg", "3", "2.5", '["ä", "b"]', "True", "", ""]
    assert list(two.values()) == ["1.jpg", "", "", "", "", "", '{"a": 1}']


def test_spreadsheets_are_bounded_and_need_their_reader(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path, book = save("", "t.xlsx"), openpyxl.Workbook()
    for row in ((None, None), ("image", "label", None), ("0.jpg", 7.0), (), ("1.jpg", True)):
        book.active.append(row)
    book.save(path)
    assert read_columns(path) == ("image", "label")
    assert [(line, tuple(cells.values())) for line, cells in read_table(path).rows] == [
        (3, ("0.jpg", "7")), (5, ("1.jpg", "True"))
    ]  # fmt: skip
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    monkeypatch.setattr(sheets, "_MOST_SHEET_BYTES", unpacked - 1)
    with pytest.raises(LookcloserError, match=f"{unpacked:,} bytes unpacked; at most"):
        read_table(path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openpyxl" else find(name)
    )
    with pytest.raises(LookcloserError, match=r"pip install 'lookcloser\[xlsx\]'`, or save it as"):
        read_table(path)
