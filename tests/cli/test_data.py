import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lookcloser.cli.data import app

Check = Callable[..., str]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    """What ``data check`` prints on stdout."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["check", *map(str, arguments)])
        assert result.exit_code == code, result.output
        return result.stdout

    return run


def table(root: Path, header: str, *rows: str) -> Path:
    """A table of images 0.png, 1.png, … from the cells beside them."""
    for i in range(len(rows)):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(root / f"{i}.png")
    lines = (f"{i}.png,{row}" for i, row in enumerate(rows))
    (root / "t.csv").write_text("\n".join([f"image,{header}", *lines]))
    return root


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with ``first``."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    (row,) = (row for row in rows if row and row[0] == first)
    return row


def test_tags(check: Check, tmp_path: Path) -> None:
    rows = ("train,cat;dog", "train,cat;dog", "train,dog", "train,", "val,cat", "test,")
    shown = check(table(tmp_path, "split,labels", *rows))
    assert f"{tmp_path}: table, multilabel, 2 tags" in shown
    assert cells(shown, "train") == ["train", "4", "1"]
    assert cells(shown, "test") == ["test", "1", "1"]
    assert "Tags of an image: 0 to 2, 1.0 on average" in shown
    listed = shown.partition("on average")[2].partition("occur together")[0]
    assert cells(listed, "cat") == ["cat", "3", "2", "1", "0"]
    assert cells(listed, "dog") == ["dog", "3", "3", "0", "0"]
    assert [line for line in shown.splitlines() if "2 images without tags" in line] == [
        "note: 2 images without tags: taken as showing none of them."
    ]


def test_tags_that_occur_together(check: Check, tmp_path: Path) -> None:
    rows = ("train,sofa;remote", "train,sofa;remote", "train,sofa", "train,car", "val,car")
    shown = check(table(tmp_path, "split,labels", *rows))
    heading = "Tags that occur together"
    assert heading in shown
    pairs = shown.partition(heading)[2]
    # 2 of 5 images have both; sofa 3/5, remote 2/5: lift (2/5) / (3/5 · 2/5) = 5/3.
    assert cells(pairs, "remote") == ["remote", "sofa", "2", "100%", "67%", "1.7"]


def test_of_many_tags_the_most_frequent_are_shown(check: Check, tmp_path: Path) -> None:
    rows = [f"train,{';'.join(f't{j:02d}' for j in range(i + 1))}" for i in range(25)]
    shown = check(table(tmp_path, "split,labels", *rows, "val,t00", "test,t00"))
    assert "Tags, the 20 most frequent of 25" in shown
    listed = shown.partition("most frequent")[2].partition("occur together")[0]
    assert cells(listed, "t00") == ["t00", "27", "25", "1", "1"]
    assert "t19" in listed
    assert "t20" not in listed


def test_captions(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "caption", *["a dog"] * 5, "the blue sea"))
    assert f"{tmp_path}: table, captioning\n" in shown
    assert "Tags" not in shown
    assert cells(shown, "number") == ["number", "6"]
    assert cells(shown, "words of a caption") == ["words of a caption", "2 … 2.2 … 3"]
    assert cells(shown, "different words")[1] == "5"
    assert cells(shown, "of these, fewer than 5 times")[1] == "3 (60%)"
    assert cells(shown, "share of the text these make up")[1] == "23.1%"


def test_classes_have_no_table_of_tags(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "label", *["a", "b"] * 10))
    assert f"{tmp_path}: table, classification, 2 classes" in shown
    assert cells(shown, "train") == ["train", "14"]
    assert "Tags" not in shown
    assert "Captions" not in shown


def test_what_stops_training_ends_with_one(check: Check, tmp_path: Path) -> None:
    shown = check(table(tmp_path, "split,labels", "train,", "train,"), code=1)
    assert "error: " in shown
    assert "none of 2 training images has a tag" in shown


def test_an_image_that_cannot_be_read_ends_with_three(check: Check, tmp_path: Path) -> None:
    where = table(tmp_path, "label", *["a", "b"] * 10)
    next(tmp_path.rglob("*.png")).write_bytes(b"no image")
    assert "broken: " in check(where, code=3)


def test_json_holds_the_statistics(check: Check, tmp_path: Path) -> None:
    found = json.loads(check(table(tmp_path, "caption", "a dog", "a cat"), "--json"))
    assert found["captions"]["vocabulary"] == 3
    assert found["tags"] is None
