"""Some maps beside their true boxes on one grid, and how well they overlap at each threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core import boxes as geometry
from lookcloser.core.boxes import Boxes
from lookcloser.core.choices import BoxRule
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Box
from lookcloser.metrics.level_sets.overlaps import Mode
from lookcloser.metrics.maps import relative
from lookcloser.metrics.thresholds import THRESHOLDS
from lookcloser.runtime.regions import upsample

Floats = NDArray[np.float64]

RANDOM_SEED = 0
_CHUNK = 256  # maps at the size of the grid at once


class Places(NamedTuple):
    """Maps beside true boxes, on one grid.

    By the rule "range" each map is normalized from its minimum to its maximum, as in the reference
    protocol: evidence against a class is small outside a large object too, and widens its box.

    Attributes:
        images: (N,) which image of the split each map is of.
        classes: (N,) whose map.
        maps: (N, h, w) raw.
        boxes: N arrays (K, 4) in pixels of the grid.
        grid: That of the network's input.
        rule: What thresholds are shares of.
    """

    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    maps: NDArray[np.float32]
    boxes: tuple[Boxes, ...]
    grid: Grid
    rule: BoxRule = "range"

    def chunks(self) -> Iterator[tuple[NDArray[np.float32], tuple[Boxes, ...]]]:
        """Maps at the size of the grid with their boxes, a few hundred at a time."""
        for start in range(0, len(self.maps), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield upsample(self.maps[part], self.grid), self.boxes[part]


def find_places(
    maps: NDArray[np.float32],
    true_boxes: Sequence[Sequence[Box]],
    sizes: Sequence[ImageSize],
    grid: Grid,
    classes: Sequence[int],
    images: Sequence[int],
    rule: BoxRule,
) -> Places:
    """`Places` of those that have boxes, from raw maps (N, h, w).

    Args:
        maps: (N, h, w)
        true_boxes: Of each map, in original pixels; without any the map is left out.
        sizes: Of the image of each map.
        grid: That of the network's input.
        classes: Whose map.
        images: Which image of the split.
        rule: What thresholds are shares of.
    """
    rows = [row for row, boxes in enumerate(true_boxes) if boxes]
    scaled = tuple(geometry.scale(true_boxes[row], sizes[row], grid.image_size) for row in rows)
    kept = np.array(rows, dtype=np.int64)
    of, whose = np.array(images, dtype=np.int64), np.array(classes, dtype=np.int64)
    return Places(of[kept], whose[kept], maps[kept], scaled, grid, rule)


class Measured(NamedTuple):
    """What one pass over some maps finds; enough for every choice of thresholds.

    Attributes:
        largest: (N, T) IoU of the box of the largest component at each of `THRESHOLDS`.
        every: (N, T) the best IoU of all components.
        pointed: (N,) whether the maximum lies in a true box.
    """

    largest: NDArray[np.float64]
    every: NDArray[np.float64]
    pointed: NDArray[np.bool_]


def measure(places: Places) -> Measured:
    """The maps, of which there is at least one, beside their boxes."""
    how: tuple[Mode, Floats, BoxRule] = "corrected", THRESHOLDS, places.rule
    parts = [
        (
            metrics.box_overlaps(maps, boxes, "largest", *how),
            metrics.box_overlaps(maps, boxes, "all", *how),
            metrics.pointing_hits(maps, boxes),
        )
        for maps, boxes in places.chunks()
    ]
    return Measured(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def measure_center(places: Places) -> Measured:
    """Centered maps beside the same boxes; the threshold chooses the share of the center box.

    They are all the same, and have one component, so that one box a threshold stands for all.
    """
    maps = metrics.center_maps(1, places.grid.image_size)
    levels = (relative(maps, places.rule)[0] * 255).astype(np.uint8)
    found = [_bounds(levels > int(level * 255)) for level in THRESHOLDS]
    overlaps = np.stack([geometry.iou(boxes, found).max(axis=0) for boxes in places.boxes])
    pointed = [metrics.pointing_hits(maps, [boxes])[0] for boxes in places.boxes]
    return Measured(overlaps, overlaps, np.array(pointed))


def _bounds(kept: NDArray[np.bool_]) -> Box:
    """The box around the true cells of (H, W), of which there are some."""
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
