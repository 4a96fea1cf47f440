"""How the evidence moves over a split, in numbers: steps of a sequence, scales in scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lookcloser.core.shifts import STEPS, move_name, scale_boxes, sequences
from lookcloser.core.types import Prediction
from lookcloser.metrics import Nested, Shift, attention_shift, nested_views


def move_scores(predictions: Sequence[Prediction]) -> dict[str, float]:
    """The scores of `step_scores` and `scale_scores` that the answers have."""
    named = [*step_scores(predictions), *scale_scores(predictions)]
    return {name: value for name, value in named if np.isfinite(value)}


def step_scores(predictions: Sequence[Prediction]) -> Iterator[tuple[str, float]]:
    """How the evidence of answers of several steps moves.

    "shift overlap", "shift distance" and "region size" are means over all steps of all answers;
    "step N overlap", "distance" and "size" over the answers that are as long, whose number is
    "step N answers". Units are those of `lookcloser.metrics.Shift`.
    """
    shifts = [attention_shift(np.stack(maps)) for maps in sequences(predictions)]
    if not shifts:
        return
    yield "shift overlap", _mean(np.concatenate([shift.overlap for shift in shifts]))
    yield "shift distance", _mean(np.concatenate([shift.distance for shift in shifts]))
    yield "region size", _mean(np.concatenate([shift.size for shift in shifts]))
    longest = max(len(shift.size) for shift in shifts)
    for step in range(min(longest, STEPS)):
        own = [shift for shift in shifts if len(shift.size) > step]
        for measure, value in _step(own, step):
            yield move_name("step", step + 1, measure), value


def scale_scores(predictions: Sequence[Prediction]) -> Iterator[tuple[str, float]]:
    """Where the finer scales lie: "scale N area", "x", "y" with their deviations, and "inside".

    Area is a share of the picture, x and y the middle of the box from the left and from the top as
    shares of the sides, each with its standard deviation over the pictures ("area sd"); "inside" is
    how much of the box lies in that of the scale before; "pictures" how many there are.
    """
    found: dict[int, list[tuple[Nested, int]]] = {}
    for prediction in predictions:
        boxes = scale_boxes(prediction) if prediction.error is None else {}
        if boxes:
            nested = nested_views(list(boxes.values()), prediction.size)
            for place, number in enumerate(boxes):
                found.setdefault(number, []).append((nested, place))
    for number, rows in sorted(found.items()):
        for measure, value in _scale(rows):
            yield move_name("scale", number, measure), value


def _step(shifts: Sequence[Shift], step: int) -> Iterator[tuple[str, float]]:
    yield "answers", float(len(shifts))
    if step:
        yield "overlap", _mean([shift.overlap[step - 1] for shift in shifts])
        yield "distance", _mean([shift.distance[step - 1] for shift in shifts])
    yield "size", _mean([shift.size[step] for shift in shifts])


def _scale(rows: Sequence[tuple[Nested, int]]) -> Iterator[tuple[str, float]]:
    areas = np.array([nested.size[place] for nested, place in rows])
    centres = np.array([nested.centre[place] for nested, place in rows])
    yield "pictures", float(len(rows))
    for measure, values in (("area", areas), ("x", centres[:, 0]), ("y", centres[:, 1])):
        yield measure, float(values.mean())
        yield f"{measure} sd", float(values.std())
    yield "inside", _mean([nested.inside[place] for nested, place in rows])


def _mean(values: ArrayLike) -> float:
    """The mean of what is known; NaN where nothing is."""
    array = np.asarray(values, dtype=np.float64)
    known = array[np.isfinite(array)]
    return float(known.mean()) if known.size else float("nan")
