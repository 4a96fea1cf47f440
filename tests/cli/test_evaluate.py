"""evaluate: what a dry run refuses, and what images that are broken do to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import Program


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--threshold-from", "x"], 2, "x: unknown place to choose the thresholds."),
        (["--threshold-from", "few:99"], 1, "few:99: 12 images of split val have boxes."),
        (["--views", "attention_rollout"], 1, "attention_rollout: CAM has no attention"),
        (["--split", "tset"], 2, "tset: unknown split of "),
        (["--columns", "image"], 2, "image: not columns of a table"),
        (["--processes", "2"], 2, "--processes 2: needs --engine ray."),
    ],
)
@pytest.mark.parametrize("verb", ["evaluate", "report"])
def test_a_dry_run_refuses_what_the_work_refuses(
    program: Program,
    run_folder: Path,
    squares: Path,
    verb: str,
    words: list[str],
    code: int,
    said: str,
) -> None:
    if verb == "report" and words[0] in {"--views", "--processes"}:
        code, said = 2, "No such option"
    done = program(verb, run_folder, squares, *words, "--dry-run")
    assert (done.code, done.out) == (code, "")
    assert said in done.said


@pytest.mark.parametrize("verb", ["evaluate", "report", "audit"])
def test_a_class_that_the_model_does_not_know_is_said_by_a_dry_run(
    program: Program, run_folder: Path, squares: Path, tmp_path: Path, verb: str
) -> None:
    shutil.copytree(squares / "test" / "red", tmp_path / "more" / "crimson")
    shutil.copytree(squares / "test" / "blue", tmp_path / "more" / "blue")
    done = program(verb, run_folder, "more", "--split", "all", "--dry-run")
    assert (done.code, done.out) == (1, "")
    assert "crimson: a class of the data that the model does not know" in done.said


def test_a_report_with_an_audit_needs_images_for_it(
    program: Program, run_folder: Path, squares: Path
) -> None:
    words = ["report", run_folder, squares, "--out", "r.html", "--dry-run"]
    assert program(*words).code == 0
    done = program(*words, "--audit")
    assert done.code == 1
    assert "0 classes with 8 images in split test" in done.said
    assert program(*words, "--audit", "--split", "train").code == 0


def test_broken_images_are_left_out_and_end_with_three(
    program: Program, run_folder: Path, squares: Path, tmp_path: Path
) -> None:
    shutil.copytree(squares / "test", tmp_path / "test")
    (tmp_path / "test" / "red" / "0.png").write_bytes(b"no image")
    done = program("evaluate", run_folder, "test", "--json")
    assert done.code == 3
    found = json.loads(done.out)
    assert found["images"] == 17
    assert [one["path"] for one in found["skipped"]] == ["red/0.png"]
    assert "skipped: " in done.err
    shown = program("evaluate", run_folder, "test", "--split", "all")
    assert shown.code == 3
    assert f"{run_folder} on all of test: 17 images" in shown.out
    assert done.next == shown.next.replace("--split all", "--split test")
