"""The largest component of a single mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lookcloser.metrics.level_sets.landscape import Area, Ints


def label(mask: NDArray[np.bool_]) -> Ints:
    """Numbers from 1 for the 8-connected components of a mask (h, w); 0 outside of them.

    They are counted in the reading order of their first pixels.
    """
    height, width = mask.shape
    starts, stops, line = _runs(mask)
    numbers = _joined(starts, stops, line)
    filled = np.zeros(height * line + 1, dtype=np.int64)
    filled[starts] = numbers
    filled[stops] -= numbers
    labels: Ints = np.cumsum(filled)[:-1].reshape(height, line)[:, :width]
    return labels


def _runs(mask: NDArray[np.bool_]) -> tuple[Ints, Ints, int]:
    """Where the runs of pixels of a mask (h, w) start and stop, and the length of a line.

    In flat positions of lines that are one pixel longer: no run spans two lines.
    """
    height, width = mask.shape
    padded = np.zeros(height * (width + 1) + 1, dtype=np.bool_)  # nothing before the first line
    padded[1:].reshape(height, width + 1)[:, :width] = mask
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2], width + 1


def _joined(starts: Ints, stops: Ints, line: int) -> Ints:
    """The number of each run's component, from 1, in the order of their first runs."""
    # A run meets those of the next line that begin at or before its end and end at or after its
    # beginning: ends are exclusive, so that touching corners count.
    first = np.searchsorted(stops - line, starts, side="left")
    last = np.searchsorted(starts - line, stops, side="right")
    counts = np.maximum(last - first, 0)
    above = np.repeat(np.arange(len(starts)), counts)
    offsets = np.arange(len(above)) - np.repeat(np.cumsum(counts) - counts, counts)
    below = first[above] + offsets
    roots = np.arange(len(starts))
    while True:
        one, other = roots[above], roots[below]
        apart = one != other
        if not apart.any():
            break
        low, high = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        np.minimum.at(roots, high, low)
        while np.any(roots != roots[roots]):
            roots = roots[roots]
    numbers: Ints = np.unique(roots, return_inverse=True)[1].reshape(-1) + 1
    return numbers


def largest_box(mask: NDArray[np.bool_], area: Area = "pixels") -> Ints:
    """The box x0, y0, x1, y1, ends inclusive, of the largest 8-connected component of a mask.

    Args:
        mask: (h, w) with at least one pixel set; without holes for the area of the polygon.
        area: "pixels": their number decides, and of equals the component that begins first in
            reading order. "polygon": the area of the polygon through the centers of border pixels,
            and of equals the one that begins last: as ``max`` by ``cv2.contourArea`` picks from the
            list of ``cv2.findContours``.
    """
    starts, stops, line = _runs(mask)
    numbers = _joined(starts, stops, line)
    if area == "pixels":
        sizes = np.bincount(numbers, weights=stops - starts)
        largest = int(sizes.argmax())
    else:
        # Components are numbered in the order in which they begin.
        sizes = _polygons(label(mask))
        largest = int(np.flatnonzero(sizes == sizes.max())[-1])
    own = numbers == largest
    rows, left, right = starts[own] // line, starts[own] % line, (stops[own] - 1) % line
    return np.array([left.min(), rows[0], right.max(), rows[-1]])


def _polygons(labels: Ints) -> Ints:
    """Twice the area of the polygon of each component, by its number; of 0, outside, it is -1."""
    corners = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])
    # Three corners of a square of pixels enclose half of it, four all of it.
    halves = np.maximum((corners > 0).sum(axis=0) - 2, 0)
    sizes = np.zeros(labels.max() + 1, dtype=np.int64)
    np.add.at(sizes, corners.max(axis=0).ravel(), halves.ravel())
    sizes[0] = -1
    return sizes
