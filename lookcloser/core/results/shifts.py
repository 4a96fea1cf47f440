"""Evidence that moves: what a prediction has of it, and what is measured of it over a split.

Steps and scales are counted from 1, and the first scale is the whole image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookcloser.core.types import Box, Prediction

ShiftKind = Literal["step", "scale"]
Measures = Mapping[str, float]

STEPS = 12  # of a sequence that are told apart at most
ARROWS = 40  # of single answers that are kept for a step, at most
_SEQUENTIAL = ("step", "word")


@dataclass(frozen=True, eq=False)
class StepShift:
    """The evidence of one step of many answers. Coordinates are shares of the sides.

    Attributes:
        measures: "answers", "overlap" and "distance" (from the step before), "size"; what is not
            known is left out.
        mean_map: (h, w) the mean of the maps, each with the same amount of evidence.
        arrows: (A, 2, 2) from the center of the evidence of the step before to that of this one,
            x and y, of the first answers.
        mean_arrow: (2, 2) between the mean centers of all answers; None where there are none.
    """

    measures: Measures
    mean_map: NDArray[np.float64]
    arrows: NDArray[np.float64]
    mean_arrow: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class ScaleShift:
    """Where one finer scale of many answers lies.

    Attributes:
        measures: "images", "area", "x", "y", each with its deviation ("area sd"), and "inside".
        areas: (N,) shares of the image.
        boxes: (N, 4) x0, y0, x1, y1 as shares of the sides.
    """

    measures: Measures
    areas: NDArray[np.float64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shifts:
    """How the evidence of a split moves, by the number of the step or scale, ascending."""

    steps: Mapping[int, StepShift] = field(default_factory=dict)
    scales: Mapping[int, ScaleShift] = field(default_factory=dict)

    @property
    def tables(self) -> dict[ShiftKind, dict[int, Measures]]:
        """The measures alone, of the kinds that there are: ``{"step": {2: {"overlap": 0.4}}}``."""
        tables: dict[ShiftKind, dict[int, Measures]] = {
            "step": {number: step.measures for number, step in self.steps.items()},
            "scale": {number: scale.measures for number, scale in self.scales.items()},
        }
        return {kind: rows for kind, rows in tables.items() if rows}

    @property
    def flat(self) -> dict[str, float]:
        """The measures by name, e.g. "step 2 overlap"."""
        return {
            f"{kind} {number} {measure}": value
            for kind, rows in self.tables.items()
            for number, measures in rows.items()
            for measure, value in measures.items()
        }


def measures_of(rows: Mapping[int, Measures]) -> list[str]:
    """What any of the rows has, in the order it first appears in the fullest one."""
    fullest = max(rows.values(), key=len, default={})
    return list(dict.fromkeys([*fullest, *(name for row in rows.values() for name in row)]))


def step_maps(prediction: Prediction) -> list[NDArray[np.float32]]:
    """The heatmaps (h, w) of the steps of an answer, in order; none of a failed one."""
    if prediction.error is not None:
        return []
    steps = [region for region in prediction.regions if region.kind in _SEQUENTIAL]
    steps.sort(key=lambda region: region.step or 0)
    return [region.heatmap for region in steps if region.heatmap is not None]


def scale_boxes(prediction: Prediction) -> dict[int, Box]:
    """The boxes of the finer scales of an answer, coarse to fine, by the number of the scale."""
    if prediction.error is not None:
        return {}
    scales = [region for region in prediction.regions if region.kind == "scale"]
    return {
        (number if region.step is None else region.step) + 1: region.box
        for number, region in enumerate(scales, 1)
        if region.box is not None
    }
