"""Shards of others, and indexes that are damaged or lie, end in a catalog or in a sentence."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import read_as_given
from lookcloser.data.shards import reading
from lookcloser.data.shards.form import archives_in, boxes_of, is_photo_name, split_of, texts
from lookcloser.data.shards.reading import images_in

INDEX = {
    "format": 1,
    "complete": True,
    "task": "classification",
    "names": ["a", "b"],
    "parents": {"a": "letters"},
    "shards": [{"file": "shard-000000.tar", "count": 2}],
}


def shard(path: Path, entries: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images with the labels b and a, and an index."""
    entries = {}
    for number, label in enumerate("ba"):
        answer = json.dumps({"labels": [label]}).encode()
        entries |= {f"{number}.jpg": b"x", f"{number}.json": answer}
    shard(tmp_path / "shard-000000.tar", entries)
    (tmp_path / "shards.json").write_text(json.dumps(INDEX))
    return tmp_path


def test_an_index_says_task_names_and_groups(data: Path) -> None:
    (data / "shards.json").write_text(json.dumps({**INDEX, "task": "multilabel"}))
    catalog = read_as_given(data)
    assert (catalog.task, catalog.names, catalog.parents) == (
        "multilabel", ("a", "b"), {"a": "letters"}
    )  # fmt: skip
    assert catalog.notes == ("Read in place from 1 shard",)
    alone = read_as_given(data / "shard-000000.tar")
    assert (alone.task, alone.names, alone.parents) == ("classification", ("a", "b"), {})
    assert alone.root == data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "cannot be read .of a newer version"),
        ({"format": "1"}, "cannot be read"),
        ({"task": "detection"}, "cannot be read .of a newer version"),
        ({"names": [1]}, "'names' is no list of texts"),
        ({"parents": {"a": 1}}, "cannot be read .a group that is no text"),
        ({"parents": ["ab"]}, "cannot be read"),
        ({"shards": [{"file": "x.tar"}]}, "cannot be read .'count'"),
        ({"shards": [{"file": "x.tar", "count": float("inf")}]}, "cannot be read"),
        ({"shards": 5}, "cannot be read"),
        ({"complete": False}, "not written to the end. Give the command `lookcloser data shard`"),
        ({"shards": [{"file": "x.tar", "count": 1}]}, "x.tar is not there .1 of 1 shards.*remove"),
        ({"names": ["a"]}, "0.jpg: 'b' is not among the names of shards.json"),
        ({"names": []}, "0.jpg: 'b' is not among the names of shards.json"),
    ],
)
def test_an_index_that_cannot_be_right(data: Path, change: Any, message: str) -> None:
    (data / "shards.json").write_text(json.dumps({**INDEX, **change}))
    with pytest.raises(LookcloserError, match=message):
        read_as_given(data)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '"x"', "[" * 100_000, "{}"])
def test_an_index_that_is_none(data: Path, text: str) -> None:
    (data / "shards.json").write_text(text)
    with pytest.raises(LookcloserError, match=r"shards\.json: cannot be read .*Copy it again"):
        read_as_given(data)


@pytest.mark.parametrize("labels", [["a", "b"], []])
def test_a_class_is_one_label(tmp_path: Path, labels: list[str]) -> None:
    answer = json.dumps({"labels": labels, "task": "classification"}).encode()
    path = shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": answer})
    with pytest.raises(LookcloserError, match=rf"1\.jpg: {len(labels)} labels\. Allowed: one, for"):
        read_as_given(path)


@pytest.mark.parametrize(
    ("answers", "task"),
    [
        ([{"labels": ["a"]}, {"labels": ["b"]}], "classification"),
        ([{"labels": ["a"]}, {"labels": ["b", "a"]}], "multilabel"),
        ([{"labels": ["a"]}, {"labels": [], "task": "multilabel"}], "multilabel"),
        ([{"labels": ["a"], "task": "multilabel"}] * 2, "multilabel"),
        ([{"captions": ["a b"]}, {"labels": ["c"]}], "captioning"),
    ],
)
def test_without_an_index_the_samples_say_the_task(
    tmp_path: Path, answers: list[Any], task: str
) -> None:
    entries = {}
    for number, answer in enumerate(answers):
        entries |= {f"{number}.jpg": b"x", f"{number}.json": json.dumps(answer).encode()}
    catalog = read_as_given(shard(tmp_path / "a.tar", entries))
    assert catalog.task == task
    used = {label for sample in catalog.samples for label in sample.labels}
    assert used == set(catalog.names), "of captions none"


def test_members_of_one_key_follow_each_other(tmp_path: Path) -> None:
    names = ["1.cls", "1.jpg", "1.seg.png", "2.txt", "x/2.JPG", "x/2.CLS", "x/2.npy", "3.webp"]
    found = list(images_in(shard(tmp_path / "a.tar", dict.fromkeys(names, b"7"))))
    assert [(member.image.name, sorted(member.beside)) for member in found] == [
        ("1.jpg", ["cls"]), ("x/2.JPG", ["cls"]), ("3.webp", [])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (
            ["i.1.jpg", "i.1.cls", "i.2.jpg", "i.2.cls"],
            [("i.1.jpg", "i.1.cls"), ("i.2.jpg", "i.2.cls")],
        ),
        (["i.1.jpg", "i.cls", "i.mask.npy"], [("i.1.jpg", "i.cls")]),
        (["i.1.jpg", "i.1.cls"], [("i.1.jpg", "i.1.cls")]),
        (["x/i.1.jpg", "x/i.cls", "x/i.2.png"], [("x/i.1.jpg",), ("x/i.2.png",)]),
        (["i.seg.png", "i.jpg", "i.seg.cls"], [("i.jpg",)]),
    ],
)  # fmt: skip
def test_dots_in_names_lose_no_image(
    tmp_path: Path, names: list[str], images: list[tuple[str, ...]]
) -> None:
    """Photos are called IMG.001.jpg and IMG.002.jpg, which is one key to WebDataset."""
    found = images_in(shard(tmp_path / "a.tar", dict.fromkeys(names, b"7")))
    told = [(m.image.name, *(beside.name for beside in m.beside.values())) for m in found]
    assert told == images


def test_a_second_image_of_a_name_is_said(tmp_path: Path) -> None:
    members = dict.fromkeys(["1.jpg", "1.png", "1.cls", "2.jpg", "2.seg.png", "2.cls"], b"7")
    (first, _) = images_in(shard(tmp_path / "a.tar", members))
    assert [one.name for one in first.others] == ["1.png"]
    notes = read_as_given(tmp_path).notes
    assert notes[1:] == ("1 image passed over: not the first one of its name",)


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"\xff\xfe", "1.cls: not UTF-8 text"), (b"x" * 9, "1.cls: 9 bytes. Allowed: at most 8"),
     (b" \n", "no answer beside it")],
)  # fmt: skip
def test_plain_answers_are_small_texts(
    tmp_path: Path, text: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_LARGEST_TEXT", 8)
    path = shard(tmp_path / "a.tar", {"1.jpg": b"x", "1.cls": text})
    with pytest.raises(LookcloserError, match=message):
        read_as_given(path)


def test_fields_of_a_sample() -> None:
    values = {"labels": ["a"], "none": None, "boxes": [["a", [1, 2, 3, 4]], [None, [0, 0, 1, 1]]]}
    assert texts(values, "labels", "x") == ("a",)
    assert texts(values, "none", "x") == texts(values, "more", "x") == ()
    assert boxes_of(values, "x") == (("a", (1.0, 2.0, 3.0, 4.0)), (None, (0.0, 0.0, 1.0, 1.0)))
    assert boxes_of({}, "x") == ()
    assert [split_of({"split": s}, "x") for s in ("val", None)] == ["val", None]


@pytest.mark.parametrize(
    "boxes",
    [
        5, {"a": 1}, "ab", [["a"]], [["a", [1, 2, 3]]], [["a", "1234"]], [[1, [1, 2, 3, 4]]],
        [["a", [1, 2, 3, 10**400]]], [["a", [1, 2, 3, float("nan")]]], [["a", [1, 2, 3, None]]],
    ],
)  # fmt: skip
def test_boxes_of_another_form(boxes: Any) -> None:
    with pytest.raises(LookcloserError, match=r"x: 'boxes' cannot be read\. Allowed: a list of"):
        boxes_of({"boxes": boxes}, "x")


def test_archives_and_images_are_known_by_their_names(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar", ".hidden.tar", "c.TAR", "d.tar.gz"):
        (tmp_path / name).touch()
    (tmp_path / "folder.tar").mkdir()
    assert [path.name for path in archives_in(tmp_path)] == ["a.tar", "b.tar", "c.TAR"]
    assert archives_in(tmp_path / "a.tar") == [tmp_path / "a.tar"]
    assert archives_in(tmp_path / "d.tar.gz") == archives_in(tmp_path / "nowhere.tar") == []
    assert [is_photo_name(name) for name in ("a.JPG", "a.b.heic", "a.cls", "jpg")] == [
        True, True, False, False
    ]  # fmt: skip
