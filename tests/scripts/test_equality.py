"""benchmarks/_equality.py counts what differs after rounding, and how many would by the noise."""

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
    assert counted(equality, answer(0.1, 1.0), answer(0.1, 1.0)) == (0, 8, 0, 0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("middle", "unequal"), [(EDGE, 1), (EDGE + 2e-5, 0)])
def test_a_number_on_the_other_side_of_an_edge_is_counted(
    equality: Any, middle: float, unequal: int
) -> None:
    found = counted(equality, answer(middle + 2e-6, 1.0), answer(middle - 2e-6, 1.0))
    mean = 4e-6 / 4  # numbers are four, and the four sides of a box
    expected = 8 * mean / 1e-4
    assert found[:3] == (0, 8, unequal)
    assert found[3:] == pytest.approx((expected, 0.0, 4e-6, mean), rel=1e-6, abs=0)


def test_of_even_numbers_as_many_are_unequal_as_the_noise_lets_expect(equality: Any) -> None:
    rng = np.random.default_rng(0)
    heat = rng.random(20_000)
    noise = rng.normal(scale=1e-6, size=heat.shape)
    found = counted(equality, answer(*(heat + noise)), answer(*heat))
    assert found[2] == pytest.approx(found[3], rel=0.25)


def test_scores_and_boxes_are_numbers_too(equality: Any) -> None:
    found = counted(equality, answer(1.0, score=0.6), answer(1.0))
    assert (found[1:3], found[4:6]) == ((7, 2), (0.0, pytest.approx(0.1)))
    found = counted(equality, answer(1.0, box=1.02), answer(1.0))
    assert (found[1:3], found[4:]) == ((7, 1), (pytest.approx(0.02), 0.0, 0.0))


@pytest.mark.parametrize("other", ["label", "length", "kind"])
def test_another_answer_is_counted_as_one(equality: Any, other: str) -> None:
    wanted = answer(0.1, 1.0)
    found = {
        "label": answer(0.1, 1.0, label="dog"),
        "length": answer(0.1, 0.2, 1.0),
        "kind": replace(wanted, caption="a cat"),
    }[other]
    assert counted(equality, found, wanted)[:2] == (1, 0)
