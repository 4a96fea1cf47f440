"""How the evidence moves over a split: the numbers as tables, and what is drawn of it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.core.drawing import COLORMAP
from lookcloser.core.drawing.colormaps import color_table
from lookcloser.core.results.shifts import ScaleShift, StepShift
from lookcloser.core.types import Evaluation
from lookcloser.report.charts import histogram
from lookcloser.report.scores import percent

POINTS = 300
BINS = 20
_SEEN = 0.005  # a shorter mean arrow is no arrow

Floats = NDArray[np.float64]


def shifts(evaluation: Evaluation) -> dict[str, Any] | None:
    """The material of ``shifts.html.j2``; None where no evidence moves."""
    steps, scales = evaluation.shifts.steps, evaluation.shifts.scales
    if not steps and not scales:
        return None
    return {
        "steps": step_rows(steps),
        "step_images": step_images(steps),
        "views": view_rows(scales),
        "view_images": [_view_image(number, scale) for number, scale in scales.items()],
    }


def step_rows(steps: Mapping[int, StepShift]) -> list[dict[str, Any]]:
    """One row for each step: how the evidence moved since the one before."""
    return [
        {
            "step": number,
            "answers": step.measures.get("answers", math.nan),
            "overlap": _share(step.measures, "overlap", number == 1),
            "distance": _share(step.measures, "distance", number == 1),
            "size": _share(step.measures, "size"),
        }
        for number, step in steps.items()
    ]


def view_rows(scales: Mapping[int, ScaleShift]) -> list[dict[str, Any]]:
    """One row for each finer view: how large it is, where, and how much that differs."""
    return [
        {
            "view": number,
            "images": scale.measures.get("images", math.nan),
            "area": _spread(scale.measures, "area", 1),
            "across": _spread(scale.measures, "x"),
            "down": _spread(scale.measures, "y"),
            "inside": _share(scale.measures, "inside"),
        }
        for number, scale in scales.items()
    ]


def step_images(steps: Mapping[int, StepShift]) -> list[dict[str, Any]]:
    """For each step its mean map, and arrows from the centers of the evidence of the step before.

    Coordinates are shares of the sides.
    """
    return [
        {
            "step": number,
            "map": _mean_map(step.mean_map),
            "arrows": _lines(step.arrows),
            "mean": _mean_arrow(step.mean_arrow),
        }
        for number, step in steps.items()
    ]


def _view_image(number: int, scale: ScaleShift) -> dict[str, Any]:
    """How the area of a finer view is distributed, where its middle lies, and its mean box."""
    middles = (scale.boxes[:, :2] + scale.boxes[:, 2:]) / 2
    x0, y0, x1, y1 = scale.boxes.mean(axis=0).round(4).tolist()
    step = -(-len(middles) // POINTS)
    return {
        "view": number,
        "sizes": histogram(scale.areas.tolist(), BINS, "share of the image", "area"),
        "points": middles[::step].round(4).tolist(),
        "box": {"x": x0, "y": y0, "width": round(x1 - x0, 4), "height": round(y1 - y0, 4)},
    }


def _mean_map(mean: Floats) -> str:
    """A map (h, w) as a small PNG in a data URI."""
    levels = np.round(255 * mean / (mean.max() or 1.0)).astype(np.uint8)
    image = Image.fromarray(levels).convert("P")
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _palette() -> list[int]:
    levels: list[int] = color_table(COLORMAP).ravel().tolist()
    return levels


def _mean_arrow(arrow: Floats | None) -> dict[str, float] | None:
    if arrow is None or np.linalg.norm(arrow[1] - arrow[0]) < _SEEN:
        return None
    return _lines(arrow[None])[0]


def _lines(arrows: Floats) -> list[dict[str, float]]:
    """(N, 2, 2) from and to, x and y -> attributes of lines."""
    ends = arrows.reshape(-1, 4).round(4).tolist()
    return [dict(zip(("x1", "y1", "x2", "y2"), row, strict=True)) for row in ends]


def _share(row: Mapping[str, float], measure: str, blank: bool = False) -> str:
    return "" if blank else percent(row.get(measure, math.nan))


def _spread(row: Mapping[str, float], measure: str, digits: int = 0) -> str:
    mean, deviation = (row.get(name, math.nan) for name in (measure, f"{measure} sd"))
    return f"{percent(mean, digits)} ± {percent(deviation, digits)}"
