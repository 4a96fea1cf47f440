from __future__ import annotations

from typing import Any

from lookcloser.data import read_data
from lookcloser.data.readers.tables.delimited import read_table
from lookcloser.data.readers.tables.lookup import column_of_files


def test_names_as_web_programs_write_them(write: Any) -> None:
    root = write("my cat 1.jpg", "my cat 2.jpg", "50%20.jpg")
    (root / "t.csv").write_text("image,label\nmy%20cat%201.jpg,a\nmy cat 2.jpg,b\n50%20.jpg,a\n")
    assert [s.name for s in read_data(root).samples] == [
        "my cat 1.jpg",
        "my cat 2.jpg",
        "50%20.jpg",
    ]


def test_only_one_column_may_name_the_images(beside: Any) -> None:
    root = beside("a,b,c", *(f"{i}.jpg,{i},{i}" for i in range(6)))
    assert column_of_files(read_table(root / "labels.csv")) is None


def test_a_table_without_a_header_has_none(beside: Any) -> None:
    root = beside(*(f"{i}.jpg,a" for i in range(6)))
    assert column_of_files(read_table(root / "labels.csv")) is None
