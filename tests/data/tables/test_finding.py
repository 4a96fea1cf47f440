"""Which tables of a folder lead to its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookcloser.data.readers.tables.finding import (
    has_columns,
    leads_to_images,
    tables_of,
    with_columns,
)


@pytest.mark.parametrize(("there", "listed", "leads"), [(1, 2, True), (1, 3, False), (3, 4, True)])
def test_half_of_the_rows_is_enough(write: Any, there: int, listed: int, leads: bool) -> None:
    root: Path = write(*(f"{i}.jpg" for i in range(there)))
    rows = "".join(f"{i}.jpg,{'a' if i % 2 else 'b'}\n" for i in range(listed))
    (root / "t.csv").write_text(f"filename,class\n{rows}", encoding="utf-8")
    assert leads_to_images(root / "t.csv") is leads


@pytest.mark.parametrize("rows", ["", "../0.jpg,a\n", "https://x.org/0.jpg,a\n", "0.jpg,a,b\n"])
def test_a_table_that_cannot_be_followed_leads_nowhere(write: Any, rows: str) -> None:
    root: Path = write("0.jpg")
    (root / "t.csv").write_text(f"filename,class\n{rows}", encoding="utf-8")
    assert leads_to_images(root / "t.csv") is False


def names_of(root: Path, found: list[tuple[Path, str | None]]) -> list[tuple[str, str | None]]:
    return [(path.relative_to(root).as_posix(), split) for path, split in found]


@pytest.mark.parametrize(
    ("tables", "found"),
    [
        # Those with an answer, before those of images alone.
        ({"a.csv": "image,label", "b.csv": "image,width"}, [("a.csv", None)]),
        ({"a.csv": "image,width"}, [("a.csv", None)]),
        ({"a.csv": "name,width"}, []),
        ({"train.csv": "id,breed", "test.csv": "id"}, [("train.csv", "train")]),
        ({"train_labels.csv": "id,cat,dog\n0,1,0"}, [("train_labels.csv", "train")]),
        # Those in the folders of the splits, where none is beside them.
        (
            {"train/m.csv": "file,label", "valid/m.csv": "file,label", "x/m.csv": "file,label"},
            [("train/m.csv", "train"), ("valid/m.csv", "val")],
        ),
        ({"m.csv": "file,label", "train/m.csv": "file,label"}, [("m.csv", None)]),
        # Forms for answers, hidden files and folders are none.
        ({"sampleSubmission.csv": "image,label", ".a.csv": "image,label"}, []),
    ],
)
def test_tables_of_images(tmp_path: Path, tables: dict[str, str], found: Any) -> None:
    for name, text in tables.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    assert names_of(tmp_path, tables_of(tmp_path)) == found


def test_tables_with_columns_that_the_user_names(tmp_path: Path) -> None:
    for name in ("train", "test", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.csv").write_text("File,Kind\n", encoding="utf-8")
    wanted = [" kind", "FILE "]
    assert names_of(tmp_path, with_columns(tmp_path, wanted)) == [
        ("test/t.csv", "test"), ("train/t.csv", "train")
    ]  # fmt: skip
    assert has_columns(tmp_path, wanted)
    assert has_columns(tmp_path / "other" / "t.csv", wanted)
    assert not has_columns(tmp_path / "other" / "t.csv", ["kind", "size"])
    assert not has_columns(tmp_path / "nowhere", wanted)
    (tmp_path / "val.csv").write_text("file,kind,size\n", encoding="utf-8")
    assert names_of(tmp_path, with_columns(tmp_path, wanted)) == [("val.csv", "val")]
