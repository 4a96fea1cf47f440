"""The files that the names of a list mean."""

from __future__ import annotations

from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers.tables import lookup
from lookcloser.data.readers.tables.lookup import ImageFinder


@pytest.mark.parametrize(
    ("there", "listed", "meant"),
    [
        ("a/b/1.jpg", "1.jpg", "a/b/1.jpg"),
        ("a/b/1.jpg", "b/1", "a/b/1.jpg"),
        ("a/b/1.jpg", "a/b/1.JPG", "a/b/1.jpg"),
        ("A/1.JPG", "a/1.jpg", "A/1.JPG"),
        ("1.v2.png", "1.v2", "1.v2.png"),
        ("stra\u00dfe.jpg", "STRASSE.jpg", "stra\u00dfe.jpg"),
        ("e\u0301.jpg", "\u00e9", "e\u0301.jpg"),
        # Nothing is guessed further.
        ("a/b/1.jpg", "c/1.jpg", "c/1.jpg"),
        ("a/11.jpg", "1.jpg", "1.jpg"),
        ("a/1.png", "1.jpg", "1.jpg"),
        ("ab/1.jpg", "b/1.jpg", "b/1.jpg"),
    ],
)
def test_a_name_is_the_end_of_a_path(write: Any, there: str, listed: str, meant: str) -> None:
    finder = ImageFinder(write(there))
    assert finder.find([listed], None, "t") == {listed: meant}
    said = [f"1 name looked up: '{listed}' is '{meant}'"]
    assert finder.notes() == (said if meant != listed else [])


def test_names_that_are_there_need_no_look(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write("1.jpg", "a/1.jpg")
    monkeypatch.setattr(lookup, "walk_images", pytest.fail)
    assert ImageFinder(root).find(["1.jpg", "a/1.jpg"], None, "t") == {
        "1.jpg": "1.jpg",
        "a/1.jpg": "a/1.jpg",
    }


def test_the_folder_that_most_names_are_in_decides(write: Any) -> None:
    root = write(*(f"full/{i}.jpg" for i in range(4)), "thumbs/0.jpg")
    names = [str(i) for i in range(4)]
    assert ImageFinder(root).find(names, None, "t")["0"] == "full/0.jpg"
    with pytest.raises(LookcloserError, match=r"^t: '0' may be 'full/0.jpg', 'thumbs/0.jpg'\."):
        ImageFinder(root).find(["0"], None, "t")


def test_the_folder_of_the_split_comes_before_the_many(write: Any) -> None:
    root = write("test/0.jpg", *(f"train/{i}.jpg" for i in range(4)))
    names = [str(i) for i in range(4)]
    assert ImageFinder(root).find(names, "test", "t") == {
        "0": "test/0.jpg", "1": "train/1.jpg", "2": "train/2.jpg", "3": "train/3.jpg"
    }  # fmt: skip
    assert ImageFinder(root).find(names, "train", "t")["0"] == "train/0.jpg"


def test_a_folder_is_looked_through_once(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    walked, walk = [], lookup.walk_images
    monkeypatch.setattr(lookup, "walk_images", lambda root: walked.append(root) or walk(root))
    finder = ImageFinder(write("a/0.jpg", "a/1.jpg"))
    for name in ("0", "1", "2"):
        finder.find([name], None, "t")
    assert len(walked) == 1
    assert finder.notes() == ["2 names looked up: '0' is 'a/0.jpg'"]
