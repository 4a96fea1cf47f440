"""With --json a program always finds JSON on stdout, also where a verb refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Program = Callable[..., Any]

REFUSED: list[tuple[list[str], int, str]] = [
    (["data", "check", "nowhere"], 1, "nowhere: no such file or folder"),
    (["data", "check", "."], 1, ""),
    (["data", "check"], 2, "data"),
    (["data", "check", ".", "--columns", "x"], 2, "x: not columns of a table"),
    (["predict", "nowhere", "a.png"], 1, "nowhere: no such run or model"),
    (["predict", ".", "a.png", "--top", "0"], 2, "--top"),
    (["evaluate", "nowhere", "."], 1, "nowhere: no such run or model"),
    (["evaluate", ".", ".", "--threshold-from", "x"], 2, "x"),
    (["audit", "nowhere", "."], 1, "nowhere: no such run or model"),
    (["audit", ".", ".", "--per-class", "2"], 2, "--per-class"),
    (["methods", "--nothing"], 2, "--nothing"),
    (["info", "word"], 2, "word"),
]


@pytest.mark.parametrize(("words", "code", "named"), REFUSED, ids=str)
def test_a_refusal_is_json_on_stdout(
    program: Program, words: list[str], code: int, named: str
) -> None:
    done = program(*words, "--json")
    assert done.code == code, done.err
    error = json.loads(done.out)["error"]
    assert error["exit_code"] == code
    assert named in error["message"]
    assert error["message"] in " ".join(done.err.removeprefix("Error: ").split())


@pytest.mark.parametrize("words", [words for words, *_ in REFUSED[:4]], ids=str)
def test_without_it_stdout_stays_empty(program: Program, words: list[str]) -> None:
    assert program(*words).out == ""


def test_every_verb_with_json_is_here(program: Program) -> None:
    verbs = {words[0] for words, *_ in REFUSED}
    for verb in ("demo", "train", "add", "predict", "evaluate", "explain", "report", "annotate",
                 "audit", "export", "imagine", "methods", "info"):  # fmt: skip
        assert ("--json" in program(verb, "--help").out) == (verb in verbs), verb


def test_what_is_allowed_and_the_next_step_stand_alone(program: Program) -> None:
    error = json.loads(program("data", "check", ".", "--columns", "x", "--json").out)["error"]
    assert error["what"] == "x: not columns of a table"
    assert error["allowed"].startswith("ROLE=NAME")
    assert error["fix"] is None


def test_names_in_it_are_escaped(program: Program, tmp_path: Path) -> None:
    (tmp_path / "bad\x1b[2J.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    done = program("data", "check", "bad\x1b[2J.csv", "--json")
    assert done.code == 1
    assert "\x1b" not in json.loads(done.out)["error"]["message"]


def test_json_behind_two_dashes_is_a_name(program: Program) -> None:
    done = program("data", "check", "--", "--json")
    assert done.code == 1
    assert done.out == ""
