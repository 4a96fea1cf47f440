"""Connected components of maps at many thresholds at once, with their boxes and areas.

What a loop over thresholds and connected-component calls finds, found in one pass: see
`lookcloser.metrics.level_sets.landscape` for why this is possible and exact.

Maps are taken as values in [0, 255]. At step k a pixel is in the foreground when the whole part of
its value is strictly above ``thresholds[k]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.metrics.level_sets.landscape import Area, Ints, Landscape, Maps, Relief
from lookcloser.metrics.level_sets.merging import Events, Tree, join, trace


class Components(NamedTuple):
    """Components of some maps at some thresholds.

    Attributes:
        image: (R,) index of the map.
        step: (R,) index of the threshold.
        box: (R, 4) x0, y0, x1, y1: first and last columns and rows, all inclusive.
        area: (R,) where it was asked for, else 0: pixels, or twice the area of the polygon through
            the centers of the border pixels.
    """

    image: Ints
    step: Ints
    box: Ints
    area: Ints


class _Levels:
    """Levels of values: at how many steps they are above the water, or under it.

    Land is there at the steps below its level. Water comes from that step on: with the steps
    counted backwards, it is there at the steps below the complement.
    """

    def __init__(self, thresholds: Ints) -> None:
        self.of_value = np.searchsorted(thresholds, np.arange(256), side="left")
        self.steps = len(thresholds)

    def above(self, values: Maps) -> Ints:
        levels: Ints = self.of_value[values.astype(np.uint8)]
        return levels

    def under(self, values: Maps) -> Ints:
        return self.steps - self.above(values)


def land(landscape: Landscape, thresholds: Ints, area: Area | None = None) -> Components:
    """The 8-connected foreground components of all maps at all thresholds.

    Args:
        landscape: Of maps with finite values in [0, 255].
        thresholds: Whole numbers, ascending, without repetition.
        area: Which area to measure; that of the polygon is right only for components without holes.
            It is not measured where a map has no second component at any threshold.
    """
    levels = _Levels(thresholds)
    relief = landscape.land()
    images = relief.seats // landscape.block
    # Basin 0 ties the maps together, one basin of each, below every step.
    firsts = np.flatnonzero(np.diff(images[1:], prepend=-1)) + 1
    pixels, one, other = relief.meetings
    tree = join(
        len(relief.seats),
        np.append(one, np.zeros_like(firsts)),
        np.append(other, firsts),
        np.append(levels.above(landscape.flat[pixels]), np.zeros_like(firsts)),
    )
    seats = np.append(0, levels.above(landscape.flat[relief.seats[1:]]))
    weights = _areas(landscape, relief, levels, area) if area else None
    found = trace(tree, seats, _sides(landscape, relief, levels.above), weights)
    return Components(images[found.basin], found.step, found.box, found.weight)


def lakes(landscape: Landscape, thresholds: Ints) -> Components:
    """The holes: 4-connected background components that do not reach the frame, as in `land`."""
    levels = _Levels(thresholds)
    relief, tree = _drained(landscape, levels)
    seats = np.append(0, levels.under(landscape.flat[relief.seats[1:]]))
    found = trace(tree, seats, _sides(landscape, relief, levels.under))
    images = relief.seats[found.basin] // landscape.block
    return Components(images, levels.steps - 1 - found.step, found.box, found.weight)


def fill_lakes(landscape: Landscape, thresholds: Ints) -> Maps:
    """Maps whose components at every threshold are the same with their holes filled."""
    levels = _Levels(thresholds)
    relief, tree = _drained(landscape, levels)
    # The last join before the frame is where the water of a basin runs off.
    outlet = np.arange(len(tree.head))
    while np.any(further := tree.head[outlet] > 0):
        outlet[further] = tree.head[outlet[further]]
    rim = levels.steps - tree.joins[outlet]
    rim[0] = 0
    # The lowest value of each level; the frame holds no water.
    surface = np.append(0, thresholds + 1)[rim].astype(landscape.flat.dtype)
    surface = surface[relief.of_run][landscape.inside(relief.runs)]
    filled: Maps = np.maximum(landscape.inside(landscape.flat), surface)
    return filled


def _drained(landscape: Landscape, levels: _Levels) -> tuple[Relief, Tree]:
    """The basins of the lakes, and how they join each other and the frame."""
    relief = landscape.lakes()
    pixels, one, other = relief.meetings
    return relief, join(len(relief.seats), one, other, levels.under(landscape.flat[pixels]))


def _sides(landscape: Landscape, relief: Relief, level_of: Callable[[Maps], Ints]) -> list[Events]:
    """The columns and rows of the outposts, with the levels from which on they count."""
    sides = []
    for side, pixels in enumerate(relief.outposts):
        place = landscape.rows(pixels) if side % 2 else landscape.columns(pixels)
        sides.append(Events(relief.at(pixels), level_of(landscape.flat[pixels]), place))
    return sides


def _areas(landscape: Landscape, relief: Relief, levels: _Levels, area: Area) -> Events:
    """Area by basin and level, of maps with two basins or more."""
    maps, runs = landscape.inside(landscape.flat), landscape.inside(relief.runs)
    bounds = np.searchsorted(relief.seats[1:], np.arange(len(maps) + 1) * landscape.block) + 1
    found = [np.zeros((3, 0), dtype=np.int64)]
    for image in np.flatnonzero(np.diff(bounds) > 1):
        first = bounds[image]
        values = maps[image].astype(np.uint8)
        keys = (relief.of_run[runs[image]] - first) * 256
        size = int(bounds[image + 1] - first) * 256
        if area == "pixels":
            counts = np.bincount((keys + values).ravel(), minlength=size)
        else:
            three, four = _second_and_least(values)
            keys = keys[:-1, :-1]
            counts = np.bincount((keys + three).ravel(), minlength=size)
            counts += np.bincount((keys + four).ravel(), minlength=size)
        some = np.flatnonzero(counts)
        found.append(np.stack([some // 256 + first, levels.of_value[some % 256], counts[some]]))
    return Events(*np.concatenate(found, axis=1))


def _second_and_least(values: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The second lowest and the lowest value of every square of 2×2 pixels.

    A polygon through pixel centers covers half of a square once three of its corners are in the
    component, and all of it with the fourth. All corners then belong to one component, and the
    upper left pixel to a basin of it: either that pixel itself is a corner in the component, or
    its row climbs from it to the upper right one, which is.
    """
    left, right = values[:, :-1], values[:, 1:]
    low, high = np.minimum(left, right), np.maximum(left, right)
    second = np.minimum(np.maximum(low[:-1], low[1:]), np.minimum(high[:-1], high[1:]))
    return second, np.minimum(low[:-1], low[1:])
