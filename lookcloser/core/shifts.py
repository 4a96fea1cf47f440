"""Evidence that moves: what a prediction has of it, and the names of its scores.

A score of the second step is called ``"step 2 overlap"``, one of the third scale
``"scale 3 area"``. Both are counted from 1, and the first scale is the whole picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookcloser.core.types import Box, Prediction

Mover = Literal["step", "scale"]
Rows = dict[int, dict[str, float]]

STEPS = 12  # of a sequence that are told apart at most
_SEQUENTIAL = ("step", "word")
_NAME = re.compile(rf"({'|'.join(get_args(Mover))}) (\d+) (.+)")


def move_name(mover: Mover, number: int, measure: str) -> str:
    """The name of one score, e.g. ``"step 2 overlap"``."""
    return f"{mover} {number} {measure}"


def move_rows(metrics: Mapping[str, float], mover: Mover) -> Rows:
    """The scores of each step or scale, in order: ``{2: {"overlap": 0.4}}``."""
    rows: Rows = {}
    for name, value in metrics.items():
        found = _NAME.fullmatch(name)
        if found and found[1] == mover:
            rows.setdefault(int(found[2]), {})[found[3]] = value
    return dict(sorted(rows.items()))


def measures_of(rows: Rows) -> list[str]:
    """What any of the rows has, in the order it first appears in the fullest one."""
    fullest = max(rows.values(), key=len, default={})
    return list(dict.fromkeys([*fullest, *(name for row in rows.values() for name in row)]))


def other_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """The scores that are not of one step or scale."""
    return {name: value for name, value in metrics.items() if not _NAME.fullmatch(name)}


def step_maps(prediction: Prediction) -> list[NDArray[np.float32]]:
    """The heatmaps (h, w) of the steps of an answer, in order."""
    steps = [region for region in prediction.regions if region.kind in _SEQUENTIAL]
    steps.sort(key=lambda region: region.step or 0)
    return [region.heatmap for region in steps if region.heatmap is not None]


def sequences(predictions: Iterable[Prediction]) -> list[list[NDArray[np.float32]]]:
    """`step_maps` of the answers of two steps or more: one step alone does not move."""
    found = (step_maps(prediction) for prediction in predictions if prediction.error is None)
    return [maps for maps in found if len(maps) > 1]


def scale_boxes(prediction: Prediction) -> dict[int, Box]:
    """The boxes of the finer scales of an answer, coarse to fine, by the number of the scale."""
    scales = [region for region in prediction.regions if region.kind == "scale"]
    return {
        (number if region.step is None else region.step) + 1: region.box
        for number, region in enumerate(scales, 1)
        if region.box is not None
    }
