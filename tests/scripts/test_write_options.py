"""What is generated from the declared options is what stands in the repository."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Literal, Unpack, get_type_hints

import pytest

import lookcloser
from lookcloser.core.options import declared
from lookcloser.models import METHODS
from lookcloser.training.keywords import TrainKeywords
from lookcloser.training.options import TrainOptions

from ..programs import load_program

ROOT = Path(__file__).parents[2]
FORGOTTEN = "run `python scripts/write_options.py`"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_program("scripts", "write_options")


def test_the_keywords_are_up_to_date(script: ModuleType) -> None:
    assert script.KEYWORDS.read_text(encoding="utf-8") == script.keywords(), FORGOTTEN


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    page = script.REFERENCE.read_text(encoding="utf-8")
    assert script.reference(page) == page, FORGOTTEN
    for method in METHODS.values():
        assert not method.own or f"`{method.name}`" in script.tables()


def test_the_keywords_are_all_options_with_their_types() -> None:
    expected = {name: item.hint for name, item in declared(TrainOptions).items()}
    for method in METHODS.values():
        expected |= {name: item.hint for name, item in method.own.items()}
    assert get_type_hints(TrainKeywords) == expected
    assert TrainKeywords.__total__ is False


def test_the_python_call_takes_them() -> None:
    taken = inspect.signature(lookcloser.train, eval_str=True).parameters["options"].annotation
    assert taken == Unpack[TrainKeywords]


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (float | None, "float | None"),
        (tuple[int, ...] | None, "tuple[int, ...] | None"),
        (Literal["a", "b"], "Literal['a', 'b']"),
        (Literal["a"] | None, "Literal['a'] | None"),
    ],
)
def test_types_are_spelled_as_source(script: ModuleType, hint: object, text: str) -> None:
    assert script._spelled(hint) == text


def test_a_bar_does_not_end_a_cell(script: ModuleType) -> None:
    assert script._cell("a|b") == "a\\|b"
