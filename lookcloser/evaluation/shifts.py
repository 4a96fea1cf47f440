"""How the evidence moves over a split, in numbers: steps of a sequence, scales in scales."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core.results.scores import Score
from lookcloser.core.results.shifts import (
    ARROWS,
    STEPS,
    ScaleShift,
    Shifts,
    StepShift,
    scale_boxes,
    step_maps,
)
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Box, Prediction
from lookcloser.metrics import attention_shift, nested_views

Floats = NDArray[np.float64]


def _numbers() -> array[float]:
    return array("d")


class ShiftTally:
    """How evidence moves over answers that come one after the other; no map is kept.

    Of answers of two steps or more, what is kept are sums, a few numbers of each step, and those of
    a few arrows; of answers with boxes of scales, the boxes.
    """

    def __init__(self) -> None:
        self._overlap, self._distance, self._size = _numbers(), _numbers(), _numbers()
        self._steps: list[_Step] = []
        self._scales: dict[int, _Scale] = {}

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Count some answers; failed ones have nothing to count."""
        for prediction in predictions:
            maps, boxes = step_maps(prediction), scale_boxes(prediction)
            if len(maps) > 1:  # one step alone does not move
                self._add_steps(np.stack(maps))
            if boxes:
                self._add_scales(boxes, prediction.size)

    def scores(self) -> tuple[Score, ...]:
        """Means over all steps of all answers: "shift overlap", "shift distance", "region size".

        Units are those of `lookcloser.metrics.Shift`. None of them is better for being higher.
        """
        means = {
            "shift overlap": _mean(self._overlap),
            "shift distance": _mean(self._distance),
            "region size": _mean(self._size),
        }
        return tuple(
            Score(name, value, higher_is_better=None, of_evidence=True)
            for name, value in means.items()
            if np.isfinite(value)
        )

    def shifts(self) -> Shifts:
        """Each step over the answers that are as long, and each scale; see `Shifts`."""
        return Shifts(
            {number: step.result() for number, step in enumerate(self._steps, 1)},
            {number: scale.result() for number, scale in sorted(self._scales.items())},
        )

    def _add_steps(self, maps: NDArray[np.float32]) -> None:
        shift = attention_shift(maps)
        self._overlap.extend(shift.overlap)
        self._distance.extend(shift.distance)
        self._size.extend(shift.size)
        for number, heatmap in enumerate(maps[:STEPS]):
            if number == len(self._steps):
                self._steps.append(_Step(np.zeros(heatmap.shape)))
            step = self._steps[number]
            step.add_map(heatmap, shift.size[number])
            if number:
                step.overlap.append(shift.overlap[number - 1])
                step.distance.append(shift.distance[number - 1])
                step.add_arrow(shift.center[number - 1 : number + 1])

    def _add_scales(self, boxes: Mapping[int, Box], size: ImageSize) -> None:
        nested = nested_views(list(boxes.values()), size)
        shares = np.array(list(boxes.values())) / np.tile(size, 2)
        for place, number in enumerate(boxes):
            scale = self._scales.setdefault(number, _Scale())
            scale.areas.append(nested.size[place])
            scale.x.append(nested.center[place, 0])
            scale.y.append(nested.center[place, 1])
            scale.inside.append(nested.inside[place])
            scale.boxes.extend(shares[place])


@dataclass
class _Step:
    """What is known of one step so far."""

    map_sum: Floats
    size: array[float] = field(default_factory=_numbers)
    overlap: array[float] = field(default_factory=_numbers)
    distance: array[float] = field(default_factory=_numbers)
    arrows: list[Floats] = field(default_factory=list)
    arrow_sum: Floats = field(default_factory=lambda: np.zeros((2, 2)))
    arrow_count: int = 0

    def add_map(self, heatmap: NDArray[np.float32], size: float) -> None:
        amount = heatmap.sum(dtype=np.float64)
        if amount > 0:
            self.map_sum += heatmap / amount
        self.size.append(size)

    def add_arrow(self, centers: Floats) -> None:
        if np.isfinite(centers).all():
            self.arrow_sum += centers
            self.arrow_count += 1
            if len(self.arrows) < ARROWS:
                self.arrows.append(centers.copy())

    def result(self) -> StepShift:
        means = {name: _mean(getattr(self, name)) for name in ("overlap", "distance", "size")}
        known = {name: value for name, value in means.items() if np.isfinite(value)}
        return StepShift(
            {"answers": float(len(self.size)), **known},
            self.map_sum / len(self.size),
            np.array(self.arrows).reshape(-1, 2, 2),
            self.arrow_sum / self.arrow_count if self.arrow_count else None,
        )


@dataclass
class _Scale:
    """What is known of one scale so far."""

    areas: array[float] = field(default_factory=_numbers)
    x: array[float] = field(default_factory=_numbers)
    y: array[float] = field(default_factory=_numbers)
    inside: array[float] = field(default_factory=_numbers)
    boxes: array[float] = field(default_factory=_numbers)

    def result(self) -> ScaleShift:
        measures = {"images": float(len(self.areas))}
        for name, values in (("area", self.areas), ("x", self.x), ("y", self.y)):
            measures |= {name: float(np.mean(values)), f"{name} sd": float(np.std(values))}
        measures["inside"] = _mean(self.inside)
        known = {name: value for name, value in measures.items() if np.isfinite(value)}
        return ScaleShift(known, np.array(self.areas), np.array(self.boxes).reshape(-1, 4))


def _mean(values: ArrayLike) -> float:
    """The mean of what is known; NaN where nothing is."""
    numbers = np.asarray(values, dtype=np.float64)
    known = numbers[np.isfinite(numbers)]
    return float(known.mean()) if known.size else float("nan")
