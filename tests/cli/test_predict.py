"""predict: names of what it writes, what it says of an answer, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lookcloser.cli import predict
from lookcloser.cli.predict import _image_names, _say_next
from lookcloser.core import LookcloserError, Prediction

from .conftest import Program

pytest.importorskip("onnxruntime")
from ..batch.conftest import write_network  # it needs onnx


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "colors.onnx")


def paint(path: str | Path, color: str = "red") -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path)
    return path


def test_images_of_one_name_do_not_meet(program: Program, network: Path) -> None:
    for name, color in (
        ("a/1.png", "red"),
        ("b/1.png", "lime"),
        ("b/1.jpg", "blue"),
        ("b/1.JPG.png", "red"),
    ):
        paint(name, color)
    done = program("predict", network, "a", "b", "--save", "e")
    assert done.code == 0
    assert sorted(path.name for path in Path("e").iterdir()) == [
        *("1.JPG.png", "1.png", "1_2.png", "1_3.png")
    ]
    assert "4 images in e" in done.err
    program("predict", network, "a", "b", "--save", "e")
    assert len(list(Path("e").iterdir())) == 4, "what it made before is made again"


def test_what_somebody_else_made_stays(tmp_path: Path) -> None:
    taken = paint(tmp_path / "1.png")
    places = _image_names(
        [Path("x/1.jpg"), Path("y/1.png"), Path("y/É.png"), Path("z/é.png")], tmp_path
    )
    assert [place.name for place in places[:2]] == ["1_2.png", "1_3.png"]
    assert [place.name for place in places[2:]] == ["É.png", "é_2.png"], "one name on many disks"
    assert taken not in places
    assert _image_names([Path("x/1.jpg")], None) == []


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_file_is_no_folder_for_evidence(program: Program, network: Path, more: list[str]) -> None:
    paint("a.png")
    done = program("predict", network, "a.png", "--save", "a.png/deep/e", *more)
    assert (done.code, done.out) == (1, "")
    assert done.said == "Error: a.png: not a folder. Choose another place."


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("-x.png", "-x.png"),
        ("two\nlines.png", "two\\x0alines.png"),
        ("\x1b[31m.png", "\\x1b[31m.png"),
        ("\udcff.png", "\\xff.png"),
        ("[1].png", "[1].png"),
        ("it's a cat.png", "it's a cat.png"),
    ],
)
def test_odd_names_are_answered_one_line_each(
    program: Program, network: Path, name: str, shown: str
) -> None:
    paint(name)
    done = program("predict", network, "--", name)
    assert done.code == 0, done.err
    (line,) = done.out.splitlines()
    assert line.startswith(f"{shown}: red ")
    assert len(done.err.splitlines()) == 1
    listed = json.loads(program("predict", network, "--json", "--", name).out)
    assert listed[0]["path"] == name


def test_top_is_at_most_what_there_is(program: Program, network: Path) -> None:
    paint("a.png")
    for top, labels in (("1", 1), ("2", 2), ("99", 3)):
        (line,) = program("predict", network, "a.png", "--top", top).out.splitlines()
        assert line.count("%") == labels
        assert line.startswith("a.png: red ")


def test_an_image_is_answered_once_however_often_it_is_named(
    program: Program, network: Path
) -> None:
    paint("a.png")
    assert len(program("predict", network, "a.png", "*.png", "a.png").out.splitlines()) == 1


def test_a_table_and_json_together(program: Program, network: Path) -> None:
    paint("a.png")
    paint("b.png").write_bytes(b"")
    done = program("predict", network, "a.png", "b.png", "--json", "--csv", "t.csv", "--top", "1")
    assert done.code == 3
    found = json.loads(done.out)
    with Path("t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [one["path"] for one in found] == ["a.png", "b.png"]
    assert float(rows[0]["score"]) == found[0]["labels"][0]["score"]
    assert rows[1]["error"] == found[1]["error"] != ""
    assert "2 images in t.csv" in done.err
    assert "1 of 2 images could not be read" in done.err


def test_without_an_answer_json_is_still_a_list(program: Program, network: Path) -> None:
    Path("a.png").write_bytes(b"no image")
    done = program("predict", network, "a.png", "--json")
    assert done.code == 1
    assert [one["labels"] for one in json.loads(done.out)] == [[]]
    assert "skipped: a.png: " in done.err


def test_a_table_is_there_whole_or_not_at_all(
    program: Program, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint("a.png")

    def fail(_prediction: Prediction) -> list[dict[str, Any]]:
        raise LookcloserError("the end")

    monkeypatch.setattr(Prediction, "to_rows", fail)
    assert program("predict", network, "a.png", "--csv", "t.csv").code == 1
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_a_table_on_stdout_is_all_that_is_there(program: Program, network: Path) -> None:
    paint("=a.png")
    done = program("predict", network, "=a.png", "--csv", "-", "--top", "1")
    assert done.code == 0, done.err
    (row,) = csv.DictReader(done.out.splitlines())
    assert (row["path"], row["rank"], row["label"]) == ("'=a.png", "1", "red")
    assert not Path("-").exists()
    both = program("predict", network, "=a.png", "--csv", "-", "--json")
    assert both.code == 2
    assert "--json: does not go with --csv -." in both.said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--sets", "aps"], 2, "--sets: does not go with predict without --coverage."),
        (["--sets", "raps"], 2, "--sets: does not go with predict without --coverage."),
        (["--coverage", "0.9"], 1, "promises no coverage: it was not calibrated."),
        (["--coverage", "0"], 2, "Allowed: a number above 0, at most 0.99."),
        (["--coverage", "nan"], 2, "Allowed: a number above 0, at most 0.99."),
        (["--coverage", "0.9", "--sets", "raps"], 2, "raps: unknown kind of set."),
        (["--csv", "a.png"], 1, "a.png: there is a file that lookcloser did not make."),
        (["--csv", "."], 1, ".: there is a folder that lookcloser did not make."),
        (["--device", "cuda"], 2, "cuda: not for an exported file. Allowed: cpu."),
        (["nowhere.png"], 1, "nowhere.png: no such file or folder."),
        (["no*.png"], 1, "no*.png: no image matches this pattern."),
    ],
)
def test_a_dry_run_refuses_what_the_work_refuses(
    program: Program, network: Path, words: list[str], code: int, said: str
) -> None:
    paint("a.png")
    for more in (["--dry-run"], []):
        done = program("predict", network, "a.png", *words, *more)
        assert (done.code, done.out) == (code, ""), done.err
        assert said in done.said
    assert [path.name for path in Path().iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("run", "task", "said"),
    [
        ("run", "classification", "Next: lookcloser explain run 'a b.png'\n"),
        ("run", "multilabel", "Next: lookcloser explain run 'a b.png'\n"),
        ("run", "captioning", "Next: lookcloser report run DATA\n"),
        ("a.onnx", "classification", ""),
    ],
)
def test_after_images_comes_what_the_task_allows(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: str,
    task: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    recognizer: Any = SimpleNamespace(header=SimpleNamespace(task=task))
    _say_next(recognizer, run, "a b.png")
    assert capsys.readouterr().err == said


def test_a_bar_is_shown_only_where_no_lines_are(
    program: Program, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[bool] = []
    real = predict.printing.progress

    def progress(title: str, is_shown: bool) -> Any:
        shown.append(is_shown)
        return real(title, is_shown)

    monkeypatch.setattr(predict.printing, "progress", progress)
    paint("a.png")
    for more in ([], ["--json"], ["--csv", "t.csv"], ["--save", "e"]):
        program("predict", network, "a.png", *more)
    assert shown == [False, True, True, False]
