"""Tables, dry runs, devices, made pictures and bug reports."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Program = Callable[..., Any]


@pytest.fixture
def images(squares: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(squares / "test" / "red", tmp_path / "images")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def test_predict_writes_a_row_for_each_label_of_each_image(
    program: Program, run_folder: Path, images: Path
) -> None:
    done = program("predict", run_folder, images, "--csv", "out/a.csv", "--top", "2")
    assert done.code == 3
    assert done.out == ""
    with Path("out/a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    answer = ["path", "rank", "label", "score", "x0", "y0", "x1", "y1", "error"]
    assert list(rows[0]) == [*answer, "candidate", "refusal", "group", "group_score"]
    assert len(rows) == 6 * 2 + 1
    assert [row["rank"] for row in rows[:2]] == ["1", "2"]
    (failed,) = (row for row in rows if row["error"])
    assert (failed["label"], Path(failed["path"]).name) == ("", "broken.png")
    listed = json.loads(program("predict", run_folder, images, "--json", "--top", "2").out)
    best = {entry["path"]: entry["labels"][0]["name"] for entry in listed if entry["labels"]}
    assert {row["path"]: row["label"] for row in rows if row["rank"] == "1"} == best
    again = program("predict", run_folder, images, "--csv", "out/a.csv")
    assert again.code != 0, "a file is not written over"


@pytest.mark.parametrize(
    ("words", "said", "files"),
    [
        (["predict", "RUN", "IMAGES", "--save", "e", "--csv", "a.csv"], "answer 7 images", 8),
        (["evaluate", "RUN", "DATA"], "score 18 images of test", 0),
        (["report", "RUN", "DATA", "--out", "r.html"], "score 18 images of test", 1),
        (["annotate", "RUN", "DATA", "--out", "boxes"], "annotate 78 images", 1),
        (["annotate", "RUN", "IMAGES"], "annotate 7 images", 1),
        (
            ["audit", "RUN", "DATA", "--split", "train", "--per-class", "9"],
            "audit 27 images of train",
            1,
        ),
    ],
)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    program: Program,
    run_folder: Path,
    squares: Path,
    images: Path,
    words: list[str],
    said: str,
    files: int,
) -> None:
    places = {"RUN": run_folder, "DATA": squares, "IMAGES": images}
    before = sorted(Path().rglob("*"))
    done = program(*(places.get(word, word) for word in words), "--dry-run")
    assert done.code == 0, done.err
    assert f"Would {said}" in done.err
    assert len(done.out.splitlines()) == files
    assert all(line.startswith("would write ") for line in done.out.splitlines())
    assert sorted(Path().rglob("*")) == before


def test_a_dry_run_checks_all_the_same(program: Program, run_folder: Path, squares: Path) -> None:
    done = program("evaluate", run_folder, squares, "--split", "valid", "--dry-run")
    assert done.code != 0
    assert "valid" in done.said


@pytest.mark.parametrize("verb", ["predict", "evaluate", "explain", "report", "annotate", "audit"])
@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_wrong_usage(
    program: Program, run_folder: Path, squares: Path, verb: str, device: str
) -> None:
    given = squares if verb not in {"predict", "explain"} else squares / "test" / "red" / "0.png"
    done = program(verb, run_folder, given, "--device", device)
    assert done.code == 2, done.err
    assert f"{device}: not a device of this machine. Allowed: cpu" in done.said


def test_evaluate_as_json(program: Program, run_folder: Path, squares: Path) -> None:
    done = program("evaluate", run_folder, squares, "--json", "--device", "cpu")
    found = json.loads(done.out)
    assert 0 <= found["max_box_acc_0_5_center_box"] <= found["max_box_acc_0_3_center_box"] <= 1
    assert set(found["per_class"]) == set(found["classes"]) == {"blue", "green", "red"}
    assert sum(map(sum, found["confusion"])) == found["images"] == 18
    low, high = found["intervals"]["top1"]
    assert low <= found["top1"] <= high


def test_imagine_a_class_and_fool_the_network(
    program: Program, run_folder: Path, squares: Path
) -> None:
    done = program("imagine", run_folder, "red", "--steps", "20")
    assert done.code == 0, done.err
    assert done.out == "imagined.png\n"
    with Image.open("imagined.png") as picture:
        assert picture.size == (32, 32)
    assert "answered " in done.err
    image = squares / "test" / "blue" / "0.png"
    fooled = program("imagine", run_folder, "red", "--from", image, "--save", "f.png")
    assert fooled.out == "f.png\n"
    assert "taken for red after" in fooled.said
    with Image.open("f.png") as sheet:
        assert sheet.width > 96
    few = program("imagine", run_folder, "rad", "--save", "g.png")
    assert few.code == 2
    assert "rad: unknown class. Close: red" in few.said


def test_info_names_versions_and_no_paths(program: Program, tmp_path: Path) -> None:
    done = program("info")
    lines = dict(line.split(": ", 1) for line in done.out.splitlines())
    assert {"lookcloser", "python", "torch", "timm", "threads", "gpus"} <= set(lines)
    assert str(Path.home()) not in done.out
    assert str(tmp_path) not in done.out
    assert json.loads(program("info", "--json").out)["lookcloser"] == lines["lookcloser"]


def test_completion_can_be_installed(program: Program) -> None:
    assert "--install-completion" in program("--help").out
