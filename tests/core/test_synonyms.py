"""Names of other tools lead to ours, in errors of Python and of the command line alike."""

from __future__ import annotations

import pytest
from typer.main import get_command

from lookcloser.cli.app import app
from lookcloser.core import synonyms
from lookcloser.core.errors import unknown
from lookcloser.core.synonyms import meant


def test_every_name_is_one_of_ours() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]  # a group
    options = {param.name for command in commands.values() for param in command.params}
    assert set(synonyms._NAMES) <= set(commands) | options


def test_no_name_of_ours_leads_elsewhere_within_its_verb() -> None:
    """What a verb has under that name is never asked for: an option is found before."""
    commands = get_command(app).commands  # type: ignore[attr-defined]  # a group
    verbs = set(commands)
    for verb in verbs:
        assert meant(verb, sorted(verbs)) == [], "a verb of ours is that verb"


@pytest.mark.parametrize(
    ("name", "choices", "found"),
    [
        ("learning_rate", ["epochs", "lr"], ["lr"]),
        ("imgsz", ["size"], ["size"]),
        ("IMGSZ", ["size"], ["size"]),
        ("output", ["out", "save"], ["out", "save"]),
        ("output", ["epochs"], []),
        ("lr", ["lr"], []),
    ],
)
def test_names_lead_to_what_there_is(name: str, choices: list[str], found: list[str]) -> None:
    assert meant(name, choices) == found


def test_an_error_offers_it_before_what_only_looks_alike() -> None:
    error = unknown("model", "option of train", ["backbone", "mode", "lr"])
    assert str(error) == "model: unknown option of train. Close: backbone."
