"""imagine: seeds, steps, and how it says what came of it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from .conftest import Program


def made(program: Program, run: Path, *words: object) -> bytes:
    done = program("imagine", run, "red", "--steps", "1", "--save", "i.png", *words)
    assert (done.code, done.out) == (0, "i.png\n"), done.err
    assert done.next == f"lookcloser imagine {shlex.quote(str(run))} red --from IMAGE"
    return Path("i.png").read_bytes()


def test_the_seed_decides(program: Program, run_folder: Path) -> None:
    first = made(program, run_folder)
    assert made(program, run_folder, "--seed", "0") == first
    assert made(program, run_folder, "--seed", 2**32 - 1) != first


def test_a_class_by_its_name_or_number(program: Program, run_folder: Path) -> None:
    by_name = made(program, run_folder)
    program("imagine", run_folder, "2", "--steps", "1", "--save", "j.png")
    assert Path("j.png").read_bytes() == by_name


def test_too_few_steps_are_said(program: Program, run_folder: Path, squares: Path) -> None:
    image = squares / "test" / "blue" / "0.png"
    words = ["imagine", run_folder, "red", "--from", image, "--save", "f.png"]
    done = program(*words, "--steps", "1")
    assert done.code == 0
    assert "red within 1 step; try more --steps" in done.err or "after 1 step;" in done.err
    assert "1 steps" not in done.err
    assert done.next == f"lookcloser explain {shlex.quote(str(run_folder))} {image} --target red"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rad"], 2, "rad: unknown class. Close: red."),
        (["3"], 2, "3: unknown class."),
        (["red", "--from", "nowhere.png"], 1, "nowhere.png: no such file."),
        (["red", "--from", "."], 1, ".: a folder, not an image."),
        (["red", "--save", "a.txt"], 2, "a.txt: no format for images has this ending."),
        (["red", "--seed", str(2**32)], 2, "'--seed'"),
    ],
)
def test_what_cannot_be_imagined(
    program: Program, run_folder: Path, words: list[str], code: int, said: str
) -> None:
    done = program("imagine", run_folder, *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.said
    assert list(Path().iterdir()) == []
