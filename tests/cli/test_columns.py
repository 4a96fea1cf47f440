"""`--columns`: a table whose columns nobody would guess, from training to the report."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lookcloser.models import read_header

Program = Callable[..., Any]

COLUMNS = "image=scan,label=what,split=part"
FAST: dict[str, Any] = {
    **{"recipe": "closed-form", "backbone": "test_resnet", "weights": "none", "size": 32},
    **{"workers": 0, "quiet": True, "columns": COLUMNS},
}


@pytest.fixture(scope="session")
def odd_table(squares: Path) -> Path:
    """The squares under column names that mean nothing, beside columns of the usual names."""
    with (squares / "boxes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    path = squares.parent / "odd" / "list.csv"
    path.parent.mkdir()
    (path.parent / "train").symlink_to(squares / "train")
    (path.parent / "val").symlink_to(squares / "val")
    (path.parent / "test").symlink_to(squares / "test")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Scan", "label", "What", "part"])
        for row in rows:
            writer.writerow([row["image"], "one", f"a {row['label']}", row["split"]])
    return path


@pytest.fixture(scope="session")
def odd_run(odd_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from lookcloser.recognizer import run_training

    folder = tmp_path_factory.mktemp("odd") / "run"
    run_training(odd_table, out=folder, **FAST)
    return folder


def test_every_verb_reads_the_table_as_the_training_did(
    program: Program, odd_table: Path, odd_run: Path
) -> None:
    header = read_header(odd_run / "model.safetensors")
    assert header.names == ("a blue", "a green", "a red")
    assert header.provenance["columns"] == COLUMNS
    assert yaml.safe_load((odd_run / "config.yaml").read_text())["options"]["columns"]
    scored = program("evaluate", odd_run, odd_table, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["images"] == 18
    for verb in ("report", "audit", "annotate"):
        split = "train" if verb == "audit" else "test"
        planned = program(verb, odd_run, odd_table, "--split", split, "--dry-run")
        assert planned.code == 0, planned.err
    added = program("add", odd_run, odd_table, "--out", "more.safetensors")
    assert added.code == 0, added.err
    assert "0 images added (48 more were known already);" in added.err


def test_given_columns_win_and_are_in_the_next_command(
    program: Program, odd_table: Path, odd_run: Path
) -> None:
    wrong = program("evaluate", odd_run, odd_table, "--columns", "image=scan,label=label")
    assert wrong.code == 1
    assert "one: a class of the data that the model does not know" in wrong.err
    done = program("evaluate", odd_run, odd_table, "--columns", COLUMNS)
    assert shlex.split(done.next)[-2:] == ["--columns", COLUMNS]


def test_data_without_these_columns_is_read_by_its_own_names(
    program: Program, squares: Path, odd_run: Path
) -> None:
    done = program("evaluate", odd_run, squares)
    assert "blue: a class of the data that the model does not know" in done.err


@pytest.mark.parametrize("verb", ["evaluate", "report", "audit", "annotate", "add"])
def test_columns_that_are_none_are_wrong_usage(
    program: Program, odd_table: Path, odd_run: Path, verb: str
) -> None:
    done = program(verb, odd_run, odd_table, "--columns", "scan")
    assert done.code == 2
    assert "scan: not columns of a table" in done.said
    assert "ROLE=NAME" in done.said


def test_training_refuses_them_before_anything_is_read(program: Program, odd_table: Path) -> None:
    done = program("train", odd_table, "--columns", "image", "--out", "run")
    assert done.code == 2
    assert not Path("run").exists()


def test_columns_choose_the_table_among_several(program: Program, odd_table: Path) -> None:
    other = odd_table.with_name("other.csv")
    other.write_text("image,label\nmissing.png,x\n", encoding="utf-8")
    try:
        done = program("data", "check", odd_table.parent, "--columns", COLUMNS, "--json")
    finally:
        other.unlink()
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"] == {"train": 48, "val": 12, "test": 18}


def test_no_table_no_columns(program: Program, squares: Path) -> None:
    done = program("data", "check", squares / "test" / "red", "--columns", COLUMNS)
    assert done.code == 1
    assert "no table in this folder" in done.err
