"""How well the boxes of each map's components match the true boxes, at every threshold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.boxes import Boxes
from lookcloser.metrics.components import Area, Components, fill_lakes, lakes, land
from lookcloser.metrics.labels import largest_box
from lookcloser.metrics.landscape import Ints, Landscape, Maps
from lookcloser.metrics.maps import normalise

Choice = Literal["all", "largest"]
Mode = Literal["reference", "corrected"]

# Pixels taken at once: fits into the cache, and bounds the memory that noise needs.
_CHUNK = 1 << 19
# Components compared at once.
_SLICE = 1 << 17


def best_overlaps(
    maps: Maps, truth: Boxes, thresholds: Ints, components: Choice, mode: Mode
) -> Iterator[NDArray[np.float64]]:
    """The best IoU of a map's boxes with its true boxes, for some maps after the other.

    Args:
        maps: (N, h, w).
        truth: (N, K, 4).
        thresholds: (T,) ascending, of maps with whole values in [0, 255].
        components: Whether all components count, or only the largest one.
        mode: Which convention.

    Yields:
        (n, T) for the next n maps.
    """
    count = max(1, _CHUNK // maps[0].size)
    for begin in range(0, len(maps), count):
        part = slice(begin, begin + count)
        scaled = normalise(maps[part]) * 255
        yield _Scorer(scaled, truth[part], thresholds, mode).overlaps(components)


def row_iou(first: Boxes, second: Boxes, inclusive: bool) -> Boxes:
    """IoU of boxes with boxes, row by row: (..., 4) each -> (...); 0 where both are empty."""
    extra = 1 if inclusive else 0

    def product(low: Boxes, high: Boxes) -> Boxes:
        sides = np.maximum(high - low + extra, 0)
        area: Boxes = sides[..., 0] * sides[..., 1]
        return area

    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = product(low, high)
    union = product(first[..., :2], first[..., 2:]) + product(second[..., :2], second[..., 2:])
    union -= shared
    overlaps: Boxes = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


class _Scorer:
    """A few maps in [0, 255] with their true boxes."""

    def __init__(self, maps: Maps, truth: Boxes, thresholds: Ints, mode: Mode) -> None:
        self.maps, self.truth, self.thresholds = maps, truth, thresholds
        self.reference = mode == "reference"
        self.best = np.full((len(maps), len(thresholds)), -1.0)

    def overlaps(self, components: Choice) -> NDArray[np.float64]:
        """The best IoU for each map and threshold."""
        landscape = Landscape(self.maps)
        if components == "largest":
            self._score_largest(landscape)
        else:
            self._score(land(landscape, self.thresholds))
            if self.reference:
                self._score(lakes(landscape, self.thresholds), grown=1)
        # Without any component the reference takes the box (0, 0, 0, 0), which is one pixel there.
        nothing = row_iou(np.zeros(4), self.truth, self.reference).max(axis=1)
        return np.where(self.best < 0, nothing[:, None], self.best)

    def _score(self, found: Components, grown: int = 0) -> None:
        """Take note of the boxes, ``grown`` by some pixels on each side."""
        for begin in range(0, len(found.image), _SLICE):
            part = slice(begin, begin + _SLICE)
            image = found.image[part]
            boxes = self._as_scored(found.box[part] + grown * np.array([-1, -1, 1, 1]))
            overlaps = row_iou(boxes[:, None], self.truth[image], self.reference).max(axis=1)
            places = image * len(self.thresholds) + found.step[part]
            np.maximum.at(self.best.reshape(-1), places, overlaps)

    def _as_scored(self, boxes: Ints) -> Boxes:
        """Boxes with inclusive ends in the convention of the mode."""
        scored: Boxes = boxes.astype(np.float64)
        scored[:, 2:] += 1
        if self.reference:
            height, width = self.maps.shape[1:]
            # The end is one too far and, at the border, cut back: the protocol's off-by-one.
            np.minimum(scored[:, 2:], [width - 1, height - 1], out=scored[:, 2:])
        return scored

    def _score_largest(self, landscape: Landscape) -> None:
        """Only the largest component of each map counts at each threshold.

        The reference compares the areas inside contours. The contour of a hole or of an island in
        it lies inside another one and is listed after it, so that the largest is an outer contour,
        and holes can be filled first.
        """
        area: Area = "polygon" if self.reference else "pixels"
        if self.reference:
            self.maps = fill_lakes(landscape, self.thresholds)
            landscape = Landscape(self.maps)
        found = land(landscape, self.thresholds, area)
        places = found.image * len(self.thresholds) + found.step
        largest = np.full(self.best.size, -1)
        np.maximum.at(largest, places, found.area)
        winners = np.flatnonzero(found.area == largest[places])
        rivals = np.bincount(places[winners], minlength=self.best.size)
        winners = winners[rivals[places[winners]] == 1]
        self._score(Components(*(column[winners] for column in found)))
        self._score(self._tied(np.flatnonzero(rivals > 1), area))

    def _tied(self, places: Ints, area: Area) -> Components:
        """The chosen component where several are largest, found by labelling."""
        image, step = np.divmod(places, len(self.thresholds))
        boxes = [
            largest_box(self.maps[i].astype(np.uint8) > self.thresholds[k], area)
            for i, k in zip(image, step, strict=True)
        ]
        return Components(image, step, np.array(boxes).reshape(-1, 4), np.zeros_like(image))
