"""Numbers of doubt in a header: read only where they could have been measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from lookcloser.core.calibration import COVERAGES, EVERY_LABEL, HOTTEST, Calibration

MEASURED = Calibration(
    temperature=1.5,
    images=200,
    lac=tuple(COVERAGES),
    aps=(EVERY_LABEL,) * len(COVERAGES),
    evidence=-3.5,
    distance=40.0,
)


def changed(**values: Any) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(MEASURED))) | values


@pytest.mark.parametrize("calibration", [Calibration(), MEASURED])
def test_what_was_written_is_read(calibration: Calibration) -> None:
    assert Calibration.read(json.loads(json.dumps(asdict(calibration)))) == calibration


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": 3 * HOTTEST},
        {"temperature": float("nan")},
        {"images": -1},
        {"lac": [0.5]},
        {"aps": [0.5] * (len(COVERAGES) + 1)},
        {"lac": [-1.1] * len(COVERAGES)},
        {"aps": [EVERY_LABEL + 0.1] * len(COVERAGES)},
        {"evidence": float("inf")},
        {"distance": float("nan")},
    ],
)
def test_numbers_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Calibration.read(changed(**values))


@pytest.mark.parametrize("name", list(asdict(MEASURED)))
def test_all_of_it_has_to_be_there(name: str) -> None:
    values = changed()
    del values[name]
    with pytest.raises(KeyError, match=name):
        Calibration.read(values)


@pytest.mark.parametrize("values", [{"temperature": None}, {"lac": 3}, {"evidence": []}])
def test_what_is_no_number_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Calibration.read(changed(**values))
