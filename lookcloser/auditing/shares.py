"""How much of the evidence lies where things rarely are: at the borders and in the corners."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BORDER = 1 / 8  # of the side, the width of the frame
CORNER = 1 / 4  # of the side, the squares in the corners


def densities(maps: NDArray[np.floating]) -> Floats:
    """Raw maps (N, h, w) -> positive evidence that sums to 1; zeros where there is none."""
    positive = np.maximum(np.asarray(maps, dtype=np.float64), 0.0)
    total = positive.sum(axis=(1, 2), keepdims=True)
    shares: Floats = np.divide(positive, total, out=np.zeros_like(positive), where=total > 0)
    return shares


def border_lift(density: Floats) -> Floats:
    """The frame's share of the evidence over its share of the area: (N, h, w) -> (N,).

    1 is as much as chance puts there. A cell of a coarse map counts by the part of it that is in
    the frame.
    """
    rows, columns = (_outer(size, BORDER) for size in density.shape[1:])
    inside = (1 - rows)[:, None] * (1 - columns)
    return lift(density, 1 - inside)


def corner_lift(density: Floats) -> Floats:
    """As `border_lift`, for the squares in the four corners."""
    rows, columns = (_outer(size, CORNER) for size in density.shape[1:])
    return lift(density, rows[:, None] * columns)


def lift(density: Floats, zone: Floats) -> Floats:
    """The share of evidence (N, h, w) in a zone over the zone's share of the area, (N,).

    Args:
        density: Not negative; its sum does not matter. Maps without evidence have 0.
        zone: (h, w) how much of each cell is in the zone, from 0 to 1; not all 0.
    """
    total = density.sum(axis=(1, 2))
    inside = (density * zone).sum(axis=(1, 2))
    where = total > 0
    lifts: Floats = np.divide(inside, total, out=np.zeros_like(total), where=where) / zone.mean()
    return lifts


def _outer(size: int, width: float) -> Floats:
    """Of each of ``size`` cells, the part within ``width`` of either end of [0, 1]."""
    edges = np.arange(size + 1) / size
    low = np.minimum(edges[1:], width) - np.minimum(edges[:-1], width)
    covered: Floats = (low + low[::-1]) * size
    return covered
