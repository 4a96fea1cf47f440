"""What a folder that no reader recognizes most likely is, and the one thing to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lookcloser.core.storage import files
from lookcloser.data.checking.advice import (
    beside,
    first_reader,
    inner_data_sets,
    unknown_layout,
    unread_tables,
    yolo_signs,
)


@pytest.fixture
def said(tmp_path: Path) -> Callable[..., str]:
    """Makes files, of which a name with ":" brings its text; returns what is said of the folder."""

    def said(*files: str) -> str:
        make(tmp_path, *files)
        return str(unknown_layout(tmp_path)).replace(str(tmp_path), "DATA")

    return said


def make(root: Path, *files: str) -> Path:
    for file in files:
        name, _, text = file.partition(":")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("there", "reading", "change"),
    [
        ([".DS_Store"], "the folder is empty", "Give the folder that holds the images"),
        (["a/1.txt", "a/2.txt", "b/3.bin"],
         "no images anywhere in it (found 2 .txt, 1 .bin)", "Give the folder that holds"),
        (["t.csv:a,b"], "(found 1 .csv; t.csv (columns a, b))", "Give the folder that holds"),
        (["d/cat/1.jpg", "d/dog/1.jpg"], "no data set itself, but a folder of one or more",
         "Give one of its folders: 'd' (class folders)"),
        (["images/1.jpg", "labels/1.txt", "a.yml"],
         "looks like a YOLO data set (a.yml and labels/*.txt), but its classes have no names",
         "Put the data.yaml that belongs to it there, or a classes.txt with the name of class 0"),
        (["images/1.jpg", "labels/1.txt:cat 1 1 1 1", "classes.txt:cat"],
         "(labels/*.txt), but labels/1.txt line 1: 'cat' is not the number of a class",
         "Add its name to the names of the classes, or correct the line"),
        (["labels/1.txt:0 .5 .5 .1 .1", "classes.txt:cat"],
         "no images anywhere in it (found 2 .txt)", "Give the folder that holds the images"),
        (["data.yaml:names: [cat]\ntrain: /no/images"],
         "YOLO data set (data.yaml), but data.yaml line 2: '/no/images' is not in DATA",
         "Put data.yaml into the folder that holds the images, and give that folder"),
        (["data.yaml:names: [cat]\ntrain: images", "images/1.jpg"],
         "YOLO data set (data.yaml), but DATA: no label file beside any image",
         "Allowed: labels/train/1.txt for images/train/1.jpg, or 1.txt beside 1.jpg"),
        (["t.csv:0.jpg,cat\n1.jpg,dog", "im/0.jpg"],
         "a table whose first line is no header but an image (0.jpg, cat)",
         "Write a line of names above it in t.csv, such as image,label"),
        (["t.csv:file,kind", "im/0.jpg"],
         "a table without known columns for images and labels: t.csv (columns file, kind)",
         "--columns image=file,label=kind, or rename"),
        (["t.csv:what,kind", "im/0.jpg"], "a table without known columns",
         "--columns image=what,label=kind, or rename"),
        (["t.csv:file", "im/0.jpg"], "a table without known columns",
         "--columns image=file,label=NAME, or rename"),
        (["val.txt:0.jpg; 3\n", "im/0.jpg"],
         "a list of images without a header (val.txt: '0.jpg; 3')", "such as val.csv with a first"),
        (["notes.txt:see 0.jpg", "im/0.jpg"], "folders of images without classes ('im')", "Put"),
        (["cat_1.jpg", "cat_2.jpg", "dog (1).jpg", "dog (2).jpg"],
         "classes seem to stand in the names of the files (cat_1.jpg, dog (1).jpg)",
         "Move them into folders such as cat/, dog/, or list them"),
        (["IMG_1.jpg", "IMG_2.jpg"], "found 2 images without labels", "Put the images of each"),
        (["IMG_1.jpg", "fox/n.txt"], "found 1 folder ('fox'), 1 image without labels", "Put the"),
        (["a/images/1.jpg", "a/masks/1.jpg", "b/images/1.jpg", "b/masks/1.jpg"],
         "the same folders ('images', 'masks') in each of 'a', 'b'",
         "Give one of them, such as 'DATA/a', or name them train, val and test"),
        (["train/1.jpg", "test/2.jpg"], "folders of splits without classes ('test', 'train')",
         "Put the images of each class in a folder of its own"),
        (["images/1.jpg", "masks/1.jpg"], "folders of images without classes", "Put the images"),
    ],
)  # fmt: skip
def test_the_likeliest_reading_comes_first_with_one_change(
    said: Callable[..., str], there: list[str], reading: str, change: str
) -> None:
    found = said(*there)
    assert found.startswith("DATA: ")
    what, _, then = found.partition(". Layouts that are recognized: CUB-200-2011,")
    assert reading in what
    assert change in what[what.index(reading) :]
    assert then.endswith("class folders, WebDataset shards.")


def test_photos_of_phones_need_their_reader(
    said: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = files.IMAGE_SUFFIXES - files.HEIC_SUFFIXES  # as where it is not installed
    monkeypatch.setattr(files, "IMAGE_SUFFIXES", plain)
    found = said("x/1.HEIC", "x/2.heif", "x/n.txt")
    assert found.startswith("DATA: 2 HEIC images only. `pip install 'lookcloser[heic]'`.")


def test_data_sets_that_lie_inside(tmp_path: Path) -> None:
    make(tmp_path, "one/a/1.jpg", "one/b/1.jpg", "two/t.csv:image,label",
         "two/1.jpg", "lists/t.csv:image,label", "none/x.txt")  # fmt: skip
    assert inner_data_sets(tmp_path) == (
        "Give one of its folders: 'one' (class folders), 'two' (table)"
    )
    assert inner_data_sets(tmp_path / "none") is None
    assert first_reader(tmp_path / "none") is None
    reader = first_reader(tmp_path / "two" / "t.csv")
    assert reader is not None
    assert reader.layout == "table"


@pytest.mark.parametrize(
    ("there", "signs"),
    [
        (["a.yaml", "labels/1.txt"], "a.yaml and labels/*.txt"),
        (["train/labels/x/1.txt"], "labels/*.txt"),
        (["a.yaml", "images/1.txt"], None),
        (["labels.txt", "labels/1.csv", "mylabels/1.txt"], None),
        (["x/y/z.yaml", "labels/1.txt"], "labels/*.txt"),
    ],
)
def test_signs_of_yolo(tmp_path: Path, there: list[str], signs: str | None) -> None:
    assert yolo_signs(make(tmp_path, *there)) == signs


def test_tables_are_told_with_their_first_columns(tmp_path: Path) -> None:
    columns = ",".join("abcdefghij")
    make(tmp_path, f"b.csv:{columns}", "a.tsv:x\ty", "c.jsonl:{", ".d.csv:x", "e/f.csv:x")
    (tmp_path / "folder.csv").mkdir()
    assert unread_tables(tmp_path) == [
        "a.tsv (columns x, y)",
        "b.csv (columns a, b, c, d, e, f, g, h)",
        "c.jsonl (columns that cannot be read)",
    ]


def test_what_lies_beside_one_class(tmp_path: Path) -> None:
    make(tmp_path, "cat/1.jpg", "d/a/1.jpg", "d/b/1.jpg", "m.csv:x,y", "labels/1.txt")
    assert list(beside(tmp_path)) == [
        "Give one of its folders: 'd' (class folders)",
        "labels/*.txt (YOLO) are not read",
        "m.csv (columns x, y) is not read",
    ]
