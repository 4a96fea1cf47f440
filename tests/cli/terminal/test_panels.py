"""Words that are refused, and the help of every verb."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from lookcloser.cli.app import app

from ..conftest import Done, Program


def verbs() -> list[str]:
    """Every verb, those of groups with their group."""
    found = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # a group
        found += [f"{name} {own}" for own in getattr(command, "commands", {})] or [name]
    return found


def refused(program: Program, folder: Path, words: list[str]) -> Done:
    """A call that is wrong usage, beside a folder that may be a run."""
    (folder / "run").mkdir()
    done = program(*words)
    assert done.code == 2
    return done


def examples(said: str) -> list[list[str]]:
    """The words of each example of a help, as a shell reads them."""
    shown = said.partition("╭")[0].replace("\\\n", "")
    found = [line.strip() for line in shown.splitlines()]
    return [shlex.split(line) for line in found if line.startswith("lookcloser ")]


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("verb", verbs())
def test_help_fits_and_has_an_example(
    program: Program, monkeypatch: pytest.MonkeyPatch, verb: str, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = program(*verb.split(), "--help")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= columns
    commands = examples(done.out)
    assert commands, "an example can be copied"
    group = get_command(app)
    for words in commands:
        assert words[1 : 1 + len(verb.split())] == verb.split()
        command = group
        for name in verb.split():
            command = command.commands[name]  # type: ignore[attr-defined]  # a group
        known = {option for param in command.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= known
    assert "│ --help" not in done.out, "-h comes first, as the same panels draw all of them"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "birds", "--epochs", "ten"], "'--epochs': 'ten'"),
        (["train", "birds", "--lr", "fast"], "'--lr': 'fast'"),
        (["predict", "run", "a.jpg", "--top", "0"], "'--top': "),
        (["data", "shard", "birds", "--out", "o", "--per-shard", "1.5"], "'--per-shard': '1.5'"),
    ],
)
def test_a_refused_value_is_named(
    program: Program, tmp_path: Path, words: list[str], said: str
) -> None:
    done = refused(program, tmp_path, words)
    assert said in done.said
    assert words[-1] in done.said
    assert "parse string" not in done.said


def test_only_options_that_look_alike_are_proposed(program: Program) -> None:
    done = program("train", "birds", "--methd", "cam")
    assert done.code == 2
    assert "--method" in done.said
    assert "--std" not in done.said


@pytest.mark.parametrize("verb", ["explain", "imagine"])
def test_what_is_written_has_the_usual_name_too(program: Program, verb: str) -> None:
    assert "--out" in program(verb, "--help").out


def test_words_to_choose_from_are_folded_and_not_cut_off(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = program("train", "--help").out
    cells = [line.removeprefix("│").split("  ") for line in shown.splitlines()]
    typed = "".join(cell[0].strip() for cell in cells)
    for words in ("32-true|16-mixed|bf16-mixed|64-true", "frequent|rare|fixed|shuffled|easy|"):
        assert words in typed
    assert "…" not in shown


def test_a_path_gets_its_home_folder_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A shell reads the ~ of `--out ~/r` and leaves that of `--out=~/r`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    command = get_command(app).commands["report"]  # type: ignore[attr-defined]  # a group
    asked = command.make_context("report", ["~/run", "data", "--out=~/r.html"]).params
    assert asked["out"] == tmp_path / "r.html"
    assert asked["run"] == "~/run"
    asked = command.make_context("report", ["~/run", "data", "--out=~nobody-of-this-name/r"]).params
    assert asked["out"] == Path("~nobody-of-this-name/r")


def test_a_group_lists_its_verbs_with_what_they_do(program: Program) -> None:
    shown = program("data", "--help").out
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    assert [row.split()[1] for row in rows if not row.startswith("│ -")] == ["check", "shard"]
    assert "Check a data set: what was understood, and what is broken." in shown


@pytest.mark.parametrize("words", [[], ["data"]])
def test_a_group_alone_shows_its_help_and_is_wrong_usage(
    program: Program, words: list[str]
) -> None:
    bare, asked = program(*words), program(*words, "-h")
    assert (bare.code, asked.code) == (2, 0)
    assert bare.out.strip() == asked.out.strip()
    assert "Commands" in bare.out
    assert bare.err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "birds", "--imgsz", "64"], "--imgsz (Possible options: --size)"),
        (["train", "birds", "--learning-rate", "1"], "(Possible options: --lr)"),
        (["predict", "run", "a.jpg", "--top-k", "3"], "(Possible options: --top)"),
        (["train", "-birds"], "given as ./-name"),
        (["train", "birds", "--resume"], "'--resume' requires an argument"),
        (["train", "my", "birds"], "A name with blanks is quoted, and a list is one word: a,b"),
        (["fit", "birds"], "No such command 'fit'. Did you mean 'train'?"),
        (["trian", "birds"], "No such command 'trian'. Did you mean 'train'?"),
    ],
)
def test_what_was_meant_is_said(
    program: Program, tmp_path: Path, words: list[str], said: str
) -> None:
    assert said in refused(program, tmp_path, words).said


@pytest.mark.parametrize("words", [["train"], ["data"], ["data", "check"], []])
def test_help_is_a_verb_too(program: Program, words: list[str]) -> None:
    asked, usual = program("help", *words), program(*words, "--help")
    assert (asked.code, asked.out) == (0, usual.out)


def test_a_paragraph_of_help_flows(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = " ".join(program("demo", "--help").out.partition("╭")[0].split("  "))
    assert "from class labels alone, and shows where it looked." in shown


def test_the_help_of_a_shell_has_no_word_of_python(program: Program) -> None:
    shown = " ".join(program("train", "--help").out.replace("│", " ").split())
    assert "None:" not in shown
    assert "Default: cam for classes" in shown
    assert "Loading processes; default: as many as cores" in shown
