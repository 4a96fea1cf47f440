"""How the evidence moves over a whole split, as tables: steps of a sequence, views in views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.types import Answer, Evaluation, Region
from lookcloser.metrics.shifts import attention_shift, nested_views
from lookcloser.report.scores import percent

STEPS = 12  # rows at most
_SEQUENTIAL = ("step", "word")


def step_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row for each step of the answers: how the evidence moved since the one before.

    Means over the answers that are as long; empty where no answer has two steps with maps.
    """
    shifts = [
        attention_shift(np.stack(maps))
        for maps in (_maps(answer) for answer in _answered(evaluation))
        if len(maps) > 1
    ]
    longest = max((len(shift.size) for shift in shifts), default=0)
    rows = []
    for step in range(min(longest, STEPS)):
        long = [shift for shift in shifts if len(shift.size) > step]
        moved = {
            name: percent(_mean([getattr(shift, name)[step - 1] for shift in long])) if step else ""
            for name in ("overlap", "distance")
        }
        size = percent(_mean([shift.size[step] for shift in long]))
        rows.append({"step": step + 1, "answers": len(long), **moved, "size": size})
    return rows


def view_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row for each finer view: how large it is, where, and how much that differs by picture.

    Empty where no answer has views.
    """
    found = []
    for answer in _answered(evaluation):
        views = [r for r in answer.prediction.regions if r.kind == "scale"]
        boxes = [region.box for region in views if region.box is not None]
        if boxes:
            found.append((views, nested_views(boxes, answer.prediction.size)))
    deepest = max((len(nested.size) for _, nested in found), default=0)
    rows = []
    for level in range(deepest):
        own = [nested for _, nested in found if len(nested.size) > level]
        sizes = np.array([nested.size[level] for nested in own])
        centres = np.array([nested.centre[level] for nested in own])
        step = next(v[level].step for v, _ in found if len(v) > level)
        low, middle, high = np.percentile(sizes, (10, 50, 90))
        x, y = centres.mean(axis=0)
        rows.append(
            {
                "view": (step if step is not None else level) + 1,
                "pictures": len(own),
                "area": percent(middle),
                "areas": f"{percent(low)} … {percent(high)}",
                "across": f"{percent(x, 0)} ± {percent(centres[:, 0].std(), 0)}",
                "down": f"{percent(y, 0)} ± {percent(centres[:, 1].std(), 0)}",
                "inside": percent(_mean([nested.inside[level] for nested in own])),
            }
        )
    return rows


def _answered(evaluation: Evaluation) -> Iterator[Answer]:
    return (answer for answer in evaluation.answers if answer.prediction.error is None)


def _maps(answer: Answer) -> list[NDArray[np.float32]]:
    """The heatmaps of the steps, in order."""
    steps: list[Region] = [r for r in answer.prediction.regions if r.kind in _SEQUENTIAL]
    steps.sort(key=lambda region: region.step or 0)
    return [region.heatmap for region in steps if region.heatmap is not None]


def _mean(values: Sequence[float]) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
