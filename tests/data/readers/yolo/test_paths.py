"""Listed paths are looked for in the folder that was given, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.yolo.paths import find_listed, join, label_of, labels_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("images/train", "valid/images", "lists"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    (tmp_path / "outside/images").mkdir(parents=True)
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("images/train", "images/train"),
        ("./images//train/", "images/train"),
        ("images\\train", "images/train"),
        ("../valid/images", "valid/images"),
        ("/content/birds/images/train", "images/train"),
        ("C:\\Users\\me\\set\\valid\\images", "valid/images"),
        ("../datasets/birds/valid/images", "valid/images"),
        ("lists/../images", "images"),
        (".", ""),
        ("../set", ""),
        ("..", None),
        ("/", None),
        ("images/val", None),
        ("../outside", None),
        ("a\0b", None),
        ("x" * 300, None),
    ],
)
def test_the_longest_end_that_is_there(root: Path, listed: str, found: str | None) -> None:
    assert find_listed(root, listed, "data.yaml line 2") == found


def test_absolute_paths_inside(root: Path) -> None:
    assert find_listed(root, str(root), "x") == ""
    assert find_listed(root, f"{root}/images/train", "x") == "images/train"


def test_nothing_outside_is_found(root: Path) -> None:
    """``images`` is inside too, and that is what is read."""
    assert find_listed(root, str(root.parent / "outside/images"), "x") == "images"
    assert find_listed(root, "../outside/images/../../outside", "x") is None


def test_a_relative_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert find_listed(Path(), "../set/images/train", "x") == "images/train"


def test_a_list_says_paths_from_its_own_folder(root: Path) -> None:
    for place in ("lists/1.jpg", "1.jpg", "2.jpg"):
        (root / place).touch()
    assert find_listed(root, "./1.jpg", "x", os.path.isfile, "lists") == "lists/1.jpg"
    assert find_listed(root, "2.jpg", "x", os.path.isfile, "lists") == "2.jpg"
    assert find_listed(root, "../2.jpg", "x", os.path.isfile, "lists") == "2.jpg"
    assert find_listed(root, "images", "x", os.path.isfile) is None


def test_urls_are_refused(root: Path) -> None:
    with pytest.raises(
        LookcloserError, match=r"x line 1: 'https://a/images' is a URL, and nothing"
    ):
        find_listed(root, "https://a/images", "x line 1")


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/train/1.jpg", "labels/train/1.txt"),
        ("train/images/1.a.jpeg", "train/labels/1.a.txt"),
        ("images/images/1.jpg", "images/labels/1.txt"),
        ("images_1/1.png", "images_1/1.txt"),
        ("my.images/a", "my.images/a.txt"),
        ("1.png", "1.txt"),
        ("obj_train_data/1.png", "obj_train_data/1.txt"),
    ],
)
def test_labels_lie_parallel(image: str, label: str) -> None:
    assert label_of(image) == label


def test_folders_of_labels() -> None:
    assert labels_of("images") == "labels"
    assert labels_of("train/images/a") == "train/labels/a"
    assert labels_of("train") == "train"
    assert labels_of("") == ""
    assert (join("", "a"), join("a", "b")) == ("a", "a/b")
