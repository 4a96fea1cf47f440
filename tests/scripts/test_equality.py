"""benchmarks/_equality.py counts what differs, and what differs at a rounding edge alone."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookcloser.core.types import Label, Prediction, Region

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EDGE = 0.12345  # the 4th digit changes here


@pytest.fixture
def equality(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_equality")


def answer(*heat: float, score: float = 0.5, box: float = 1.0, label: str = "cat") -> Prediction:
    """Of one label, with one region."""
    region = Region("map", label, score, (0.0, 0.0, box, 9.0), np.array([heat]))
    return Prediction("classification", (Label(label, score, 0),), (region,), (100, 50))


def counted(equality: Any, found: Prediction, wanted: Prediction) -> tuple[float, ...]:
    compared = equality.Compared()
    compared.add(found, wanted)
    return tuple(compared.row().values())


def test_equal_answers_have_only_numbers(equality: Any) -> None:
    assert counted(equality, answer(0.1, 1.0), answer(0.1, 1.0)) == (0, 8, 0, 0, 0.0, 0.0)


def test_a_number_on_the_other_side_of_an_edge_is_counted_once(equality: Any) -> None:
    found = counted(equality, answer(EDGE + 2e-7, 1.0), answer(EDGE - 2e-7, 1.0))
    assert found == (0, 8, 1, 0, 0.0, pytest.approx(4e-7))


def test_a_number_that_is_far_from_an_edge_is_counted_twice(equality: Any) -> None:
    found = counted(equality, answer(EDGE + 5e-6, 1.0), answer(EDGE - 5e-6, 1.0))
    assert found == (0, 8, 1, 1, 0.0, pytest.approx(1e-5))


def test_scores_and_boxes_are_numbers_too(equality: Any) -> None:
    found = counted(equality, answer(1.0, score=0.6), answer(1.0))
    assert found == (0, 7, 2, 2, 0.0, pytest.approx(0.1))
    found = counted(equality, answer(1.0, box=1.02), answer(1.0))
    assert found == (0, 7, 1, 1, pytest.approx(0.02), 0.0)


@pytest.mark.parametrize("other", ["label", "length", "kind"])
def test_another_answer_is_counted_as_one(equality: Any, other: str) -> None:
    wanted = answer(0.1, 1.0)
    found = {
        "label": answer(0.1, 1.0, label="dog"),
        "length": answer(0.1, 0.2, 1.0),
        "kind": replace(wanted, caption="a cat"),
    }[other]
    assert counted(equality, found, wanted)[:2] == (1, 0)
