"""The program as a whole: its verbs, its exit codes, and how errors are said."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperOption
from typer.main import get_command

import lookcloser
from lookcloser.cli.app import _said, app
from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError

from .conftest import Program

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def documented() -> Iterator[tuple[str, str]]:
    """The verbs of the reference, each with what is said of it."""
    table = REFERENCE.read_text(encoding="utf-8").partition("## Commands")[2].partition("\n\n")[0]
    for line in table.splitlines():
        row = re.fullmatch(r"\| `([a-z]+(?: check| shard)?)([^`]*)` \|(.*)", line)
        if row:
            yield row[1], row[2] + row[3]


def commands() -> dict[str, set[str]]:
    """Every verb with its options."""
    found = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # a group
        own = getattr(command, "commands", None)
        verbs = {f"{name} {part}": one for part, one in own.items()} if own else {name: command}
        for verb, one in verbs.items():
            params = (param for param in one.params if isinstance(param, TyperOption))
            found[verb] = {
                word for param in params for word in (*param.opts, *param.secondary_opts)
            }
    return found


def test_the_reference_has_every_verb_and_no_other() -> None:
    assert {verb for verb, _ in documented()} == commands().keys()


def test_what_the_reference_says_of_a_verb_are_its_options() -> None:
    known, seen = commands(), 0
    for verb, text in documented():
        for typed in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text):
            assert typed in known[verb], f"{verb} {typed}"
            seen += 1
    assert seen > 40


def test_the_version_is_that_of_the_package(program: Program) -> None:
    done = program("--version")
    assert (done.code, done.out) == (0, f"lookcloser {lookcloser.__version__}\n")
    assert program("--version", "predict").out == done.out, "it comes before any verb"


def test_all_verbs_are_listed_with_what_they_do(program: Program) -> None:
    shown = program("-h").out
    for verb in {verb.split()[0] for verb in commands()}:
        (row,) = (line for line in shown.splitlines() if re.match(rf"│ {verb} ", line))
        assert len(row.split()) > 5, verb


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [("lookcloser pre", ["predict"]), ("lookcloser train --epo", ["--epochs"])],
)
def test_words_are_completed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    proposed: list[str],
) -> None:
    monkeypatch.setenv("_LOOKCLOSER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    with pytest.raises(SystemExit):
        app(prog_name="lookcloser")
    assert capsys.readouterr().out.split() == proposed


DEBUG = [
    ["--debug", "data", "check", "nowhere"],
    ["data", "--debug", "check", "nowhere"],
    ["data", "check", "nowhere", "--debug"],
    ["data", "check", "--json", "--debug", "--", "nowhere"],
]


@pytest.mark.parametrize("words", DEBUG, ids=" ".join)
def test_debug_shows_the_traceback_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    from lookcloser.cli import main

    monkeypatch.setattr("sys.argv", ["lookcloser", *words])
    with pytest.raises(LookcloserError, match="nowhere: no such file or folder"):
        main()


def test_debug_behind_two_dashes_is_a_name(program: Program) -> None:
    done = program("data", "check", "--", "--debug")
    assert done.code == 1
    assert "--debug: no such file or folder" in done.said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LookcloserError("a: wrong", fix="Fix it"), "a: wrong. Fix it."),
        (UsageError("{} 3: not possible", option="rank_form"), "--rank-form 3: not possible."),
        (OSError(errno.EACCES, "Refused", "a\x1b[2J.png"), "a\\x1b[2J.png: Refused. Ask its owner"),
        (OSError(errno.EIO, "I/O error", "a.png"), "a.png: I/O error."),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device."),
        (OSError("one\n  two"), "one two."),
        (OSError(), "OSError."),
        (ConnectionResetError(104, "Connection reset"), "Connection reset."),
        (MemoryError(), "Not enough memory."),
        (RuntimeError("a fault of the program"), None),
    ],
    ids=str,
)  # fmt: skip
def test_an_error_is_one_line_that_names_the_file(error: Exception, said: str | None) -> None:
    found = _said(error)
    if said is None or found is None:
        assert found == said
        return
    assert found.startswith(said)
    shows_where = isinstance(error, OSError) and not isinstance(error, PermissionError)
    assert found.endswith("--debug shows where.") == shows_where
    assert found.count("\n") == 0


def test_a_fault_of_the_program_is_not_hidden(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_words: object, **_named: object) -> None:
        raise RuntimeError("index out of bounds")

    monkeypatch.setattr("lookcloser.data.read_data", fail)
    with pytest.raises(RuntimeError, match="out of bounds"):
        program("data", "check", ".")


class Broken(io.StringIO):
    """A stdout that nobody reads any more, or on a full disk."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["data", "check", "nowhere", "--json"], 1, "nowhere: no such file or folder"),
        (["data", "check", "--json"], 2, "data"),
        (["methods"], 1, ""),
        (["methods", "--json"], 1, ""),
    ],
    ids=str,
)
def test_a_stdout_that_takes_nothing_leaves_the_error_and_its_code(
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    said: str,
    number: int,
) -> None:
    monkeypatch.setattr("sys.stdout", Broken(number))
    done = program(*words)
    assert done.code == code
    assert said in done.said
    assert "Traceback" not in done.err
    if not said:  # a reader that went away has seen enough
        assert ("No space left on device" in done.said) == (number == errno.ENOSPC)


def test_what_the_caller_has_set_stays(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.delenv("TORCH_CPP_LOG_LEVEL", raising=False)
    program("--version")
    assert os.environ["OMP_WAIT_POLICY"] == "active"
    assert os.environ["PYTHONSAFEPATH"] == ""
    assert os.environ["TORCH_CPP_LOG_LEVEL"] == "ERROR"


def test_memory_is_kept_while_a_verb_works(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []

    class Library:
        def mallopt(self, name: int, value: int) -> None:
            if name == -4:  # the number of blocks that are mapped
                kept.append(value == 0)

        def malloc_trim(self, _pad: int) -> None:
            pass

    monkeypatch.setattr("lookcloser.core.memory._glibc", Library)
    assert program("methods").code == 0
    assert kept == [True, False]
    assert program("serve", "nowhere").code == 1
    assert kept[2:] == [True, False, False], "a service gives it back at once"


def test_the_same_refusal_has_the_same_code_with_and_without_json(program: Program) -> None:
    for words in (["data", "check", "nowhere"], ["data", "check"], ["data", "chekc"]):
        plain, as_json = program(*words), program(*words, "--json")
        assert plain.code == as_json.code == json.loads(as_json.out)["error"]["exit_code"]
        assert plain.out == ""
