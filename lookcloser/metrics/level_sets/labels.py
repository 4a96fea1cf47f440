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
    # Runs of pixels, in flat positions of lines that are one pixel longer: no run spans two lines.
    line = width + 1
    padded = np.zeros((height, line), dtype=np.int8)
    padded[:, :width] = mask
    steps = np.diff(padded.ravel(), prepend=0, append=0)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    numbers = _joined(starts, stops, line)
    filled = np.zeros(height * line + 1, dtype=np.int64)
    filled[starts] = numbers
    filled[stops] -= numbers
    labels: Ints = np.cumsum(filled)[:-1].reshape(height, line)[:, :width]
    return labels


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
    labels = label(mask)
    if area == "pixels":
        sizes = np.bincount(labels.ravel())
    else:
        corners = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])
        # Three corners of a square of pixels enclose half of it, four all of it.
        halves = np.maximum((corners > 0).sum(axis=0) - 2, 0)
        sizes = np.zeros(labels.max() + 1, dtype=np.int64)
        np.add.at(sizes, corners.max(axis=0).ravel(), halves.ravel())
    sizes[0] = -1
    largest = np.flatnonzero(sizes == sizes.max())
    begins = [int(np.argmax(labels == number)) for number in largest]
    chosen = largest[np.argmin(begins) if area == "pixels" else np.argmax(begins)]
    kept = labels == chosen
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])
