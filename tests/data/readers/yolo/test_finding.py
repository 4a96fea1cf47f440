"""Which file describes a data set, and what its usual folders say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.yolo.description import Part
from lookcloser.data.readers.yolo.finding import (
    describe,
    descriptions,
    has_rows,
    is_description,
    label_files,
)

from .conftest import Data

ROW = "0 .5 .5 .2 .2\n"
PAGE = "train: images\nnames: [cat, dog]\n"
DARKNET = """# as the program writes it
classes = 2
train = data/train.txt
valid=data/valid.txt
names = data/obj.names
backup = backup/
"""


def parts(root: Path) -> list[tuple[str | None, str]]:
    return [(part.split, part.listed) for part in describe(root).parts]


def error_of(root: Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        describe(root)
    return str(caught.value)


def test_yaml_comes_before_other_descriptions(data: Data) -> None:
    root = data("", {"b.yaml": PAGE, "obj.data": DARKNET, "classes.txt": "x", "a.yaml": "lr: 1"})
    assert descriptions(root) == ["b.yaml"]
    assert describe(root).where == "b.yaml"
    assert describe(root / "b.yaml") == describe(root)


def test_the_usual_name_comes_before_others(data: Data) -> None:
    root = data("", {"birds.yaml": PAGE, "data.yaml": PAGE.replace("cat", "owl")})
    assert describe(root).names == {0: "owl", 1: "dog"}
    (root / "data.yaml").rename(root / "more.yaml")
    said = error_of(root)
    assert said == (
        "Several descriptions of the data ('birds.yaml', 'more.yaml'). Give one of them, such as "
        f"'{root / 'birds.yaml'}'."
    )


def test_darknet(data: Data) -> None:
    root = data("", {"obj.data": DARKNET, "obj.names": "cat\r\ndog\r\n"})
    found = describe(root)
    assert (found.where, found.names) == ("obj.names", {0: "cat", 1: "dog"})
    assert found.parts == (
        Part("train", "data/train.txt", "obj.data line 3"),
        Part("val", "data/valid.txt", "obj.data line 4"),
    )
    assert is_description(root / "obj.data")
    assert not is_description(root / "obj.names")
    (root / "obj.names").unlink()
    assert "obj.data line 5: 'data/obj.names' is not there" in error_of(root)
    (root / "other.data").write_text("1 2 3")
    assert not is_description(root / "other.data")


@pytest.mark.parametrize(
    ("images", "names", "found"),
    [
        ("images/train/1.jpg images/val/2.jpg", "classes.txt",
         [("train", "images/train"), ("val", "images/val")]),
        ("images/1.jpg images/more/2.jpg", "classes.txt", [(None, "images")]),
        ("train/images/1.jpg valid/images/2.jpg", "train/labels/classes.txt",
         [("train", "train/images"), ("val", "valid/images")]),
        ("train/1.jpg test/2.jpg", "train/_darknet.labels", [("test", "test"), ("train", "train")]),
        ("1.jpg", "obj.names", [(None, ".")]),
        ("1.jpg more/2.jpg", "birds.names", [(None, ".")]),
    ],
)  # fmt: skip
def test_usual_folders(
    data: Data, images: str, names: str, found: list[tuple[str | None, str]]
) -> None:
    labels = images.replace("images/", "labels/").replace(".jpg", ".txt").split()
    root = data(images, {names: "cat\n", **dict.fromkeys(labels, ROW)})
    assert parts(root) == found
    assert describe(root).names == {0: "cat"}
    assert has_rows(root, describe(root))


@pytest.mark.parametrize("folder", ["images/1.jpg", "1.jpg"])
def test_a_folder_named_after_a_split_is_that_split(data: Data, folder: str) -> None:
    root = data(f"test/{folder}", {"test/classes.txt": "cat", "test/labels/1.txt": ROW}) / "test"
    assert [split for split, _ in parts(root)] == ["test"]


def test_lists_of_the_splits_come_before_folders(data: Data) -> None:
    lists = {
        "train.txt": "./images/1.jpg\n",
        "valid.txt": "\ufeffimages/2.jpg",
        "test.txt": "notes",
    }
    root = data("images/1.jpg images/2.jpg", {"voc.names": "cat", "labels/2.txt": ROW, **lists})
    assert parts(root) == [("train", "train.txt"), ("val", "valid.txt")]
    assert has_rows(root, describe(root))


def test_a_page_with_names_alone(data: Data) -> None:
    root = data("images/train/1.jpg", {"data.yaml": "names: [cat]", "labels/train/1.txt": ROW})
    assert describe(root).parts == (Part("train", "images/train", "data.yaml"),)
    assert describe(root / "data.yaml") == describe(root)


def test_names_that_differ(data: Data) -> None:
    root = data("train/1.jpg", {"classes.txt": "cat", "train/_darknet.labels": "cat\n"})
    assert describe(root).where == "classes.txt"
    (root / "train/_darknet.labels").write_text("dog")
    assert "'classes.txt' and 'train/_darknet.labels' give the classes different names" in error_of(
        root
    )


def test_names_that_are_not_there(data: Data) -> None:
    root = data("train/images/1.jpg", {"train/labels/1.txt": ROW})
    assert "Its classes have no names. Put the data.yaml that belongs to it there" in error_of(root)
    (root / "data.yaml").write_text(PAGE)
    said = error_of(root / "train")
    assert f"Give the folder above, '{root}', where data.yaml is" in said


@pytest.mark.parametrize(
    ("files", "rows"),
    [
        ({"labels/1.txt": ROW}, True),
        ({"labels/a/b/7.txt": f"\n\n{ROW}"}, True),
        ({"labels/1.txt": "", "labels/2.txt": ROW}, True),
        ({"labels/1.txt": ""}, False),
        ({"labels/1.txt": "a picture of a cat\n"}, False),
        ({"labels/1.csv": ROW}, False),
        ({"labels/classes.txt": ROW}, False),
        ({}, False),
    ],
)
def test_rows_in_a_folder_of_labels(data: Data, files: dict[str, str], rows: bool) -> None:
    root = data("images/1.jpg", {"data.yaml": PAGE, **files})
    assert has_rows(root, describe(root)) is rows


def test_rows_beside_images_belong_to_one(data: Data) -> None:
    root = data("1.jpg", {"classes.txt": "cat", "numbers.txt": ROW})
    assert not has_rows(root, describe(root))
    (root / "1.txt").write_text(ROW)
    assert has_rows(root, describe(root))


def test_rows_of_images_in_a_list(data: Data) -> None:
    page = "train: train.txt\nnames: [cat]\n"
    files = {"data.yaml": page, "train.txt": "./images/1.jpg\n./images/2.jpg\n"}
    root = data("images/1.jpg images/2.jpg", files)
    assert not has_rows(root, describe(root))
    (root / "labels").mkdir()
    (root / "labels/2.txt").write_text(ROW)
    assert has_rows(root, describe(root))


def test_pipes_are_not_waited_for(data: Data) -> None:
    root = data("images/1.jpg", {"classes.txt": "cat", "labels/2.txt": ROW})
    os.mkfifo(root / "labels/1.txt")
    os.mkfifo(root / "data.yaml")
    assert has_rows(root, describe(root))


def test_files_of_labels(data: Data) -> None:
    root = data("images/1.jpg", {"labels/b/2.txt": ROW, "labels/1.txt": "", "labels/x.cache": ""})
    assert sorted(label_files(root, "images")) == ["labels/1.txt", "labels/b/2.txt"]
    assert list(label_files(root, "elsewhere")) == []
