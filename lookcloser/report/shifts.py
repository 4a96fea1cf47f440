"""How the evidence moves over a split: the numbers as tables, and what is drawn of it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.core.drawing import COLORMAP
from lookcloser.core.drawing.colormaps import color_table
from lookcloser.core.shifts import STEPS, move_rows, scale_boxes, sequences
from lookcloser.core.types import Evaluation
from lookcloser.metrics.shifts import attention_shift, nested_views
from lookcloser.report.charts import histogram
from lookcloser.report.scores import percent

ARROWS = 40  # of single answers in a picture, at most
POINTS = 300
BINS = 20
_SEEN = 0.005  # a shorter mean arrow is no arrow

Floats = NDArray[np.float64]


def shifts(evaluation: Evaluation) -> dict[str, Any] | None:
    """The material of ``shifts.html.j2``; None where no evidence moves."""
    steps, views = step_rows(evaluation.metrics), view_rows(evaluation.metrics)
    if not steps and not views:
        return None
    return {
        "steps": steps,
        "step_pictures": step_pictures(evaluation),
        "views": views,
        "view_pictures": view_pictures(evaluation),
    }


def step_rows(metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row for each step: how the evidence moved since the one before."""
    return [
        {
            "step": step,
            "answers": row.get("answers", math.nan),
            "overlap": _share(row, "overlap", step == 1),
            "distance": _share(row, "distance", step == 1),
            "size": _share(row, "size"),
        }
        for step, row in move_rows(metrics, "step").items()
    ]


def view_rows(metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row for each finer view: how large it is, where, and how much that differs."""
    return [
        {
            "view": number,
            "pictures": row.get("pictures", math.nan),
            "area": _spread(row, "area", 1),
            "across": _spread(row, "x"),
            "down": _spread(row, "y"),
            "inside": _share(row, "inside"),
        }
        for number, row in move_rows(metrics, "scale").items()
    ]


def step_pictures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each step its mean map, and arrows from the centres of the evidence of the step before.

    Coordinates are shares of the sides. Single arrows are those of the first `ARROWS` answers; the
    mean one goes between the mean centres of all that have both steps.
    """
    found = sequences(answer.prediction for answer in evaluation.answers)
    centres = [attention_shift(np.stack(maps)).centre for maps in found]
    longest = max((len(maps) for maps in found), default=0)
    pictures = []
    for step in range(min(longest, STEPS)):
        long = [number for number, maps in enumerate(found) if len(maps) > step]
        moved = [centres[number][step - 1 : step + 1] for number in long if step]
        arrows = np.array([arrow for arrow in moved if np.isfinite(arrow).all()])
        pictures.append(
            {
                "step": step + 1,
                "map": _mean_map([found[number][step] for number in long]),
                "arrows": _lines(arrows[:ARROWS]),
                "mean": _mean_arrow(arrows),
            }
        )
    return pictures


def view_pictures(evaluation: Evaluation) -> list[dict[str, Any]]:
    """For each finer view how its area is distributed, where its middle lies, and its mean box."""
    areas: dict[int, list[float]] = {}
    boxes: dict[int, list[Floats]] = {}
    for answer in evaluation.answers:
        prediction = answer.prediction
        views = scale_boxes(prediction) if prediction.error is None else {}
        if not views:
            continue
        sizes = nested_views(list(views.values()), prediction.size).size
        for (number, box), area in zip(views.items(), sizes.tolist(), strict=True):
            areas.setdefault(number, []).append(area)
            boxes.setdefault(number, []).append(np.array(box) / np.tile(prediction.size, 2))
    return [
        _view_picture(number, areas[number], np.array(boxes[number])) for number in sorted(areas)
    ]


def _view_picture(number: int, areas: Sequence[float], boxes: Floats) -> dict[str, Any]:
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    x0, y0, x1, y1 = boxes.mean(axis=0).round(4).tolist()
    step = -(-len(middles) // POINTS)
    return {
        "view": number,
        "sizes": histogram(areas, BINS, "share of the picture", "area"),
        "points": middles[::step].round(4).tolist(),
        "box": {"x": x0, "y": y0, "width": round(x1 - x0, 4), "height": round(y1 - y0, 4)},
    }


def _mean_map(maps: Sequence[NDArray[np.float32]]) -> str:
    """The mean of maps, each with the same amount of evidence, as a small PNG in a data URI."""
    array = np.stack(maps).astype(np.float64)
    amounts = array.sum(axis=(1, 2), keepdims=True)
    mean = np.divide(array, amounts, out=np.zeros_like(array), where=amounts > 0).mean(axis=0)
    levels = np.round(255 * mean / (mean.max() or 1.0)).astype(np.uint8)
    image = Image.fromarray(levels).convert("P")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _palette() -> list[int]:
    levels: list[int] = color_table(COLORMAP).ravel().tolist()
    return levels


def _mean_arrow(arrows: Floats) -> dict[str, float] | None:
    if not len(arrows):
        return None
    mean = arrows.mean(axis=0)
    return _lines(mean[None])[0] if np.linalg.norm(mean[1] - mean[0]) >= _SEEN else None


def _lines(arrows: Floats) -> list[dict[str, float]]:
    """(N, 2, 2) from and to, x and y -> attributes of lines."""
    ends = arrows.reshape(-1, 4).round(4).tolist()
    return [dict(zip(("x1", "y1", "x2", "y2"), row, strict=True)) for row in ends]


def _share(row: Mapping[str, float], measure: str, blank: bool = False) -> str:
    return "" if blank else percent(row.get(measure, math.nan))


def _spread(row: Mapping[str, float], measure: str, digits: int = 0) -> str:
    mean, deviation = (row.get(name, math.nan) for name in (measure, f"{measure} sd"))
    return f"{percent(mean, digits)} ± {percent(deviation, digits)}"
