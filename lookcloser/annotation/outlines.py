"""From a class map to one mask without holes, and from a mask to polygons and run lengths."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lookcloser.annotation.records import Segmentation
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Box

Mask = NDArray[np.bool_]

_EVERY_NEIGHBOR = np.ones((3, 3))
TOLERANCE = 0.01  # of the longer side of the network's input: by so much an outline may miss it


def largest_part(array: NDArray[np.floating], threshold: float) -> Mask | None:
    """The largest 8-connected component of a map in [0, 1] at a threshold, its holes filled.

    The pixels that `metrics.boxes_from_maps` puts its box around. A hole in the evidence is rarely
    one in the thing, and COCO's polygons cannot hold it.

    Args:
        array: (h, w), from 0 to 1.
        threshold: Pixels of at least this value.

    Returns:
        (h, w), or None where the map has nothing above 0.
    """
    highest = array.max()
    if not highest > 0:
        return None
    labels = ndimage.label(array >= threshold * highest, _EVERY_NEIGHBOR)[0]
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    filled: Mask = ndimage.binary_fill_holes(labels == sizes.argmax())
    return filled


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around a mask that is not empty; x1 and y1 exclusive."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def scaled_box(box: Box, grid: Grid, size: ImageSize) -> Box:
    """A box on a grid in pixels of an image, to a hundredth."""
    x, y = size.width / grid.columns, size.height / grid.rows
    x0, y0, x1, y1 = box
    return round(x0 * x, 2), round(y0 * y, 2), round(x1 * x, 2), round(y1 * y, 2)


def segmentation(mask: Mask, size: ImageSize, form: str) -> Segmentation:
    """A mask on the network's grid in pixels of the original image, in one of COCO's forms.

    Args:
        mask: (h, w) as `largest_part` gives it.
        size: Of the image.
        form: "polygons": one outline of few corners, for a person to edit; "rle": run lengths of
            the image's own pixels, each of which takes the value of the grid at its center.
    """
    height, width = mask.shape
    if form == "polygons":
        kept = simplified(outline(mask), TOLERANCE * max(mask.shape))
        corners = kept * np.array([size.width / width, size.height / height])
        return [corners.round(2).ravel().tolist()]
    columns = ((np.arange(size.width) + 0.5) * width / size.width).astype(int)
    rows = ((np.arange(size.height) + 0.5) * height / size.height).astype(int)
    return {"size": list(size.grid), "counts": run_lengths(mask[rows[:, None], columns])}


def written_area(box: Box, mask: Segmentation | None) -> float:
    """Square pixels of what is written: the mask, or the box where there is none."""
    if mask is None:
        x0, y0, x1, y1 = box
        return round((x1 - x0) * (y1 - y0), 2)
    if isinstance(mask, dict):
        return float(sum(mask["counts"][1::2]))
    x, y = np.array(mask[0]).reshape(-1, 2).T
    return round(float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2, 2)


def simplified(corners: NDArray[np.integer], tolerance: float) -> NDArray[np.float64]:
    """The corners of a closed line that matter: no left-out corner is further than ``tolerance``.

    Args:
        corners: (V, 2), at least three. Those that touch its bounding box are kept.
        tolerance: In the units of the corners.

    Source: Ramer (1972), Douglas and Peucker (1973).
    """
    points = corners.astype(np.float64)
    outer = [*points.argmin(axis=0).tolist(), *points.argmax(axis=0).tolist()]
    points = np.roll(points, -min(outer), axis=0)
    kept = {index - min(outer) for index in outer}
    pending = list(pairwise([*sorted(kept), len(points)]))
    closed = np.vstack([points, points[:1]])
    while pending:
        start, end = pending.pop()
        if end - start < 2:
            continue
        distances = _distances(closed[start + 1 : end], closed[start], closed[end])
        furthest = int(distances.argmax())
        if distances[furthest] > tolerance:
            middle = start + 1 + furthest
            kept.add(middle)
            pending += [(start, middle), (middle, end)]
    chosen = points[sorted(kept)]
    return chosen if len(chosen) > 2 else points


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far points (N, 2) are from the segment between two others."""
    along = end - start
    length = float(along @ along)
    shares = np.clip((points - start) @ along / length, 0, 1) if length else np.zeros(len(points))
    distances: NDArray[np.float64] = np.linalg.norm(
        points - start - shares[:, None] * along, axis=1
    )
    return distances


def run_lengths(mask: Mask) -> list[int]:
    """COCO's uncompressed run lengths: down the columns, first the number of pixels outside."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    ends = np.append(changes, len(flat))
    counts: list[int] = np.diff(ends, prepend=0).tolist()
    return counts


def outline(mask: Mask) -> NDArray[np.int64]:
    """The corners (V, 2) as x, y of the edge of a mask, clockwise on the screen.

    Args:
        mask: (h, w), one 8-connected component without holes, so that its edge is one closed line;
            where two pixels meet at a corner only, the line passes from one to the other.
    """
    steps = _steps(mask)
    first = min(steps, key=lambda corner: (corner[1], corner[0]))
    corner, heading = first, (1, 0)
    corners = [first]
    while True:
        x, y = corner
        corner = (x + heading[0], y + heading[1])
        if corner == first:
            return np.array(corners)
        ways = steps[corner]
        left = (heading[1], -heading[0])
        turned = left if left in ways else heading if heading in ways else (-left[0], -left[1])
        if turned != heading:
            corners.append(corner)
        heading = turned


def _steps(mask: Mask) -> dict[tuple[int, int], set[tuple[int, int]]]:
    """Corner (x, y) -> the directions in which edges leave it, with the mask to their right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (  # the neighbor that is not in the mask, where the edge begins, where it goes
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    steps: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for neighbor, (dx, dy), direction in sides:
        for y, x in np.argwhere(inside & ~neighbor).tolist():
            steps.setdefault((x + dx, y + dy), set()).add(direction)
    return steps
