"""The options of every verb: their limits, their defaults, and that one name means one thing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperOption
from typer.main import get_command

from lookcloser.cli.app import app

# What these mean depends on the verb.
OWN = {"--out", "--save", "--format", "--view", "--weights", "--image", "--data", "--split"}
OWN |= {"--json", "--seed", "--workers", "--batch-size", "--help"}


def commands() -> dict[str, Any]:
    """Every verb with its command; those of groups with their group."""
    found = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]  # a group
        parts = getattr(command, "commands", None)
        found |= {f"{name} {k}": v for k, v in parts.items()} if parts else {name: command}
    return found


VERBS = commands()


def options(verb: str) -> Iterator[Any]:
    return (param for param in VERBS[verb].params if isinstance(param, TyperOption))


LIMITED = [
    pytest.param(verb, param, id=f"{verb} {param.opts[-1]}")
    for verb in VERBS
    for param in options(verb)
    if verb != "train" and (param.min is not None or param.max is not None)
]
# What has to be given for a verb to be read at all.
NEEDED = {"data shard": ["--out", "o"], "push": ["me/x"], "imagine": ["red"], "methods": []}


def read(verb: str, *words: str) -> dict[str, Any]:
    """The values of a verb's options, read from words."""
    arguments = [p for p in VERBS[verb].params if not isinstance(p, TyperOption) and p.required]
    given = [] if verb in {"demo", "info", "methods"} else ["."] * min(1, len(arguments))
    more = NEEDED.get(verb, ["."] if len(arguments) > 1 else [])
    context = VERBS[verb].make_context(verb, [*words, *given, *more])
    values: dict[str, Any] = context.params
    return values


@pytest.mark.parametrize(("verb", "param"), LIMITED)
def test_a_number_has_to_lie_within_its_limits(
    verb: str, param: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = isinstance(param.default, int) or param.name in {"processes", "part_images", "steps"}
    step = 1 if whole else 0.0001
    wrong = [str(limit + way * step) for limit, way in ((param.min, -1), (param.max, 1))
             if limit is not None]  # fmt: skip
    for value in [*wrong, "nan", "many", ""]:
        with pytest.raises(typer.BadParameter) as refused:
            read(verb, f"{param.opts[-1]}={value}")
        assert refused.value.exit_code == 2
        assert (value or "''") in refused.value.message
    for limit in (param.min, param.max):
        if limit is not None:
            assert read(verb, f"{param.opts[-1]}={limit}")[param.name] == limit


@pytest.mark.parametrize("verb", VERBS)
def test_a_number_of_no_limit_is_not_taken(verb: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Infinity is neither a size nor a time."""
    monkeypatch.chdir(tmp_path)
    for param in options(verb):
        if isinstance(param.default, float) and verb != "train":
            with pytest.raises(typer.BadParameter):
                read(verb, f"{param.opts[-1]}=inf")


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_says_what_it_does_and_its_default(verb: str) -> None:
    context = typer.Context(VERBS[verb])
    for param in VERBS[verb].params:
        record = param.get_help_record(context)
        if not isinstance(param, TyperOption) or record is None:
            continue
        typed, said = record
        assert param.opts[-1] in typed
        assert re.match(r"[\w-]", said), f"{verb} {param.opts[-1]} has no help"
        default = param.default
        if default not in (None, False, (), []) and not callable(default):
            words = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
            flags = [*param.opts, *param.secondary_opts]  # of a switch the side that is on
            assert words in said or any(f"default: {flag[2:]}" in said for flag in flags), said


def test_one_name_means_the_same_in_every_verb() -> None:
    meanings: dict[str, dict[tuple[str, str], list[str]]] = {}
    for verb in set(VERBS) - {"train", "serve", "push", "data check", "data shard"}:
        for param in options(verb):
            told = meanings.setdefault(param.opts[-1], {})
            told.setdefault((param.help, str(param.default)), []).append(verb)
    unlike = {name: told for name, told in meanings.items() if len(told) > 1}
    assert not unlike.keys() - OWN


def test_no_option_hides_another() -> None:
    for verb in VERBS:
        names = [name for param in options(verb) for name in (*param.opts, *param.secondary_opts)]
        assert len(names) == len(set(names)), verb


PLACES = [
    pytest.param(verb, param.opts[-1], id=f"{verb} {param.opts[-1]}")
    for verb in VERBS
    for param in options(verb)
    if param.name in {"out", "save", "each_view"}
]


@pytest.mark.parametrize(("verb", "option"), PLACES)
def test_no_result_becomes_a_file_named_minus(
    verb: str, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, each wrote it, into the current folder."""
    monkeypatch.chdir(tmp_path)
    for word in ("-", "./-"):
        words = ["x" for param in VERBS[verb].params if param.param_type_name == "argument"]
        with pytest.raises(typer.BadParameter, match="'-' is standard output") as refused:
            VERBS[verb].main([*words, option, word], standalone_mode=False)
        assert refused.value.exit_code == 2
    assert os.listdir() == []
