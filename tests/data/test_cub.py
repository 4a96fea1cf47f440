from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.data.readers import cub

FILES = ["001.Laysan_Albatross/L_1.jpg", "001.Laysan_Albatross/L_2.jpg", "002.Wren/W_1.jpg"]
TEXTS = {
    "images.txt": "".join(f"{i} {name}\n" for i, name in enumerate(FILES, 1)),
    # Not in the order of the images.
    "image_class_labels.txt": "3 2\n1 1\n2 1\n",
    "classes.txt": "1 001.Laysan_Albatross\n2 002.Wren\n",
    "train_test_split.txt": "1 1\n2 0\n3 1\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 0.0 1.5 2.0 3.25\n3 1.0 1.0 5.0 4.0\n",
}


@pytest.fixture
def root(write: Any) -> Path:
    root: Path = write(*(f"CUB_200_2011/images/{name}" for name in FILES)) / "CUB_200_2011"
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    return root


def test_images_labels_splits_and_boxes(root: Path) -> None:
    catalog = cub.read(root, skip_missing=False)
    assert catalog.names == ("Laysan_Albatross", "Wren")
    assert [(s.name, s.labels, s.split, s.boxes) for s in catalog.samples] == [
        (
            "images/001.Laysan_Albatross/L_1.jpg",
            ("Laysan_Albatross",),
            "train",
            (("Laysan_Albatross", (60.0, 27.0, 385.0, 331.0)),),
        ),
        (
            "images/001.Laysan_Albatross/L_2.jpg",
            ("Laysan_Albatross",),
            "test",
            (("Laysan_Albatross", (0.0, 1.5, 2.0, 4.75)),),
        ),
        ("images/002.Wren/W_1.jpg", ("Wren",), "train", (("Wren", (1.0, 1.0, 6.0, 5.0)),)),
    ]
    assert catalog.samples[2].source == root / "images/002.Wren/W_1.jpg"


def test_it_is_recognized_although_its_images_are_in_class_folders(root: Path) -> None:
    assert read_data(root).layout == "CUB-200-2011"


def test_classes_keep_the_order_of_the_list(root: Path) -> None:
    (root / "classes.txt").write_text("1 001.Zebra_Finch\n2 002.Auk\n")
    assert cub.read(root, skip_missing=False).names == ("Zebra_Finch", "Auk")


def test_splits_and_boxes_may_be_absent(root: Path) -> None:
    (root / "train_test_split.txt").unlink()
    (root / "bounding_boxes.txt").unlink()
    samples = cub.read(root, skip_missing=False).samples
    assert [(s.split, s.boxes) for s in samples] == [(None, ())] * 3


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("image_class_labels.txt", "1 1\n2 1\n", "images.txt id 3: no class for it in image_class"),
        ("image_class_labels.txt", "1 1\n2 1\n3 9\n", "images.txt id 3: no class for it"),
        ("train_test_split.txt", "1 1\n2 0\n", "images.txt id 3: neither 0 nor 1 for it in train_"),
        (
            "bounding_boxes.txt",
            "2 1 2 3\n",
            "bounding_boxes.txt id 2: '1 2 3' is not a box. Allowed",
        ),
        ("bounding_boxes.txt", "2 1 nan 3 4\n", "id 2: '1 nan 3 4' is not a box"),
        ("bounding_boxes.txt", "2 1 2 inf 4\n", "id 2: '1 2 inf 4' is not a box"),
        ("images.txt", "1 ../../../x.jpg\n", "images.txt id 1: 'images/../../../x.jpg' is outside"),
        ("images.txt", "1 001.Laysan_Albatross/no.jpg\n", "images.txt id 1: 'images/001.Laysan_Al"),
    ],
)
def test_what_is_wrong_is_named(root: Path, file: str, text: str, message: str) -> None:
    (root / file).write_text(text)
    with pytest.raises(LookcloserError) as caught:
        read_data(root)
    assert message in str(caught.value)


def test_missing_images_can_be_left_out(root: Path) -> None:
    (root / "images" / FILES[1]).unlink()
    with pytest.raises(LookcloserError, match=r"not found \(1 of 3\)\. --skip-missing drops them"):
        read_data(root)
    catalog = read_data(root, skip_missing=True)
    assert len(catalog.samples) == 2
    assert catalog.skipped == ((f"images/{FILES[1]}", "images.txt id 2: not found"),)


def test_tabs_between_ids_and_values(root: Path) -> None:
    before = cub.read(root, skip_missing=False).samples
    for name, text in TEXTS.items():
        lines = (line.partition(" ") for line in text.splitlines())
        (root / name).write_text("".join(f"{key}\t{value}\n" for key, _, value in lines))
    after = cub.read(root, skip_missing=False).samples
    assert [(s.name, s.labels, s.split, s.boxes) for s in after] == [
        (s.name, s.labels, s.split, s.boxes) for s in before
    ]


def test_two_ids_of_one_name_are_said(root: Path) -> None:
    (root / "classes.txt").write_text("1 001.Wren\n2 002.Wren\n")
    catalog = cub.read(root, skip_missing=False)
    assert catalog.names == ("Wren",)
    assert catalog.notes == ("Several ids of one name, read as one class: 'Wren'",)
