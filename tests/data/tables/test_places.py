from pathlib import Path
from typing import Any

import pytest

from lookcloser.data.readers.tables.places import image_folder, named_split, without_split


@pytest.mark.parametrize(
    ("name", "split", "rest"),
    [
        ("instances_train2017", "train", "instances_2017"),
        ("captions_Val2014", "val", "captions_2014"),
        ("trainval", "train", ""),
        ("my-test-set", "test", "my--set"),
        ("_annotations.coco", None, "_annotations.coco"),
        ("trains", None, "trains"),
        ("latest", None, "latest"),
        ("", None, ""),
    ],
)
def test_splits_in_names(name: str, split: str | None, rest: str) -> None:
    assert named_split(name) == split
    assert without_split(name) == rest


NAMES = [f"{i}.jpg" for i in range(6)]


def make(write: Any, folder: str, names: list[str] = NAMES) -> Path:
    root: Path = write(*(f"{folder}/{name}" for name in names))
    return root


@pytest.mark.parametrize("folder", [".", "images", "a/b"])
def test_folders_are_looked_for_two_levels_deep(write: Any, folder: str) -> None:
    root = make(write, folder)
    assert image_folder(root, NAMES) == ("" if folder == "." else folder)


def test_names_that_are_nowhere_or_too_deep(write: Any) -> None:
    root = make(write, "a/b/c")
    make(write, ".hidden")
    assert image_folder(root, NAMES) == ""
    assert image_folder(root, []) == ""


def test_the_folder_of_the_split_comes_first(write: Any) -> None:
    for folder in ("train2017", "val2017", "a"):
        root = make(write, folder)
    assert image_folder(root, NAMES, "val") == "val2017"
    assert image_folder(root, NAMES, "train") == "train2017"
    assert image_folder(root, NAMES, "test") == image_folder(root, NAMES) == "a"


def test_a_file_that_is_missing_moves_nothing_to_another_split(write: Any) -> None:
    make(write, "train", NAMES)
    root = make(write, "val", NAMES[1:])
    assert image_folder(root, NAMES, "val") == "val"


def test_of_folders_with_a_few_the_best_is_taken(write: Any) -> None:
    make(write, "a", NAMES[:1])
    root = make(write, "b", NAMES[:2])
    assert image_folder(root, NAMES) == "b"


def test_long_lists_are_sampled_from_beginning_to_end(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{i}.jpg" for i in range(400)]
    root = make(write, "images", names[200:])
    asked = []
    monkeypatch.setattr("os.path.isfile", lambda path: asked.append(path) or Path(path).is_file())
    assert image_folder(root, names) == "images"
    assert len(asked) == 2 * 20
