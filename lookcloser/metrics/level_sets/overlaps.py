"""How well the boxes of each map's components match the true boxes, at every threshold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.boxes import Boxes
from lookcloser.core.choices import BoxRule
from lookcloser.metrics.level_sets.components import Components, fill_lakes, lakes, land
from lookcloser.metrics.level_sets.labels import largest_box
from lookcloser.metrics.level_sets.landscape import Area, Ints, Landscape, Maps
from lookcloser.metrics.maps import relative

Choice = Literal["all", "largest"]
Mode = Literal["reference", "corrected"]

# Pixels, and pixels that matter, taken at once; components compared at once. They bound the memory:
# the first for smooth maps, the others for noise.
_PIXELS = 1 << 20
_SITES = 1 << 17
_COMPONENTS = 1 << 17


def best_overlaps(
    maps: Maps,
    truth: Boxes,
    thresholds: Ints,
    components: Choice,
    mode: Mode,
    rule: BoxRule,
) -> Iterator[NDArray[np.float64]]:
    """The best IoU of a map's boxes with its true boxes, for some maps after the other.

    Args:
        maps: (N, h, w).
        truth: (N, K, 4).
        thresholds: (T,) ascending, of maps with whole values in [0, 255].
        components: Whether all components count, or only the largest one.
        mode: Which convention.
        rule: How maps become values in [0, 255]; see `lookcloser.metrics.maps.relative`.

    Yields:
        (n, T) for the next n maps.
    """
    reference = mode == "reference"
    done = 0
    for landscape in _landscapes(maps, rule):
        count, height, width = landscape.inside(landscape.flat).shape
        true = truth[done : done + count]
        done += count
        # Without any component the reference takes the box (0, 0, 0, 0), which is one pixel there.
        nothing = row_iou(np.zeros(4), true, reference).max(axis=1)
        best = np.full((count, len(thresholds)), -1.0)
        for found in _counted(landscape, thresholds, components, reference):
            boxes: Boxes = found.box.astype(np.float64)
            boxes[:, 2:] += 1
            if reference:
                # Ends are one too far and, at the border, cut back: the protocol's off-by-one.
                np.minimum(boxes[:, 2], width - 1, out=boxes[:, 2])
                np.minimum(boxes[:, 3], height - 1, out=boxes[:, 3])
            overlaps = row_iou(boxes[:, None], true[found.image], reference).max(axis=1)
            places = found.image * len(thresholds) + found.step
            np.maximum.at(best.reshape(-1), places, overlaps)
        yield np.where(best < 0, nothing[:, None], best)


def row_iou(first: Boxes, second: Boxes, inclusive: bool) -> Boxes:
    """IoU of boxes with boxes, row by row: (..., 4) each -> (...); 0 where both are empty."""
    extra = 1 if inclusive else 0

    def area(x0: Boxes, y0: Boxes, x1: Boxes, y1: Boxes) -> Boxes:
        product: Boxes = np.maximum(x1 - x0 + extra, 0) * np.maximum(y1 - y0 + extra, 0)
        return product

    # By columns: NumPy is slow where the last dimension is as short as two or four.
    ax0, ay0, ax1, ay1 = np.moveaxis(first, -1, 0)
    bx0, by0, bx1, by1 = np.moveaxis(second, -1, 0)
    low = np.maximum(ax0, bx0), np.maximum(ay0, by0)
    shared = area(*low, np.minimum(ax1, bx1), np.minimum(ay1, by1))
    union = area(ax0, ay0, ax1, ay1) + area(bx0, by0, bx1, by1) - shared
    overlaps: Boxes = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def _landscapes(maps: Maps, rule: BoxRule) -> Iterator[Landscape]:
    """The maps, scaled to [0, 255], in parts of a bounded size."""
    count = max(1, _PIXELS // maps[0].size)
    waiting = [maps[begin : begin + count] for begin in range(0, len(maps), count)][::-1]
    while waiting:
        part = waiting.pop()
        landscape = Landscape(relative(part, rule) * 255)
        if len(part) > 1 and len(landscape.sites) > _SITES:
            half = len(part) // 2
            waiting += [part[half:], part[:half]]
        else:
            yield landscape


def _counted(
    landscape: Landscape, thresholds: Ints, components: Choice, reference: bool
) -> Iterator[Components]:
    """The components whose boxes count, in parts of a bounded size."""
    if components == "largest":
        yield from _parts(_largest(landscape, thresholds, reference))
        return
    yield from _parts(land(landscape, thresholds))
    if reference:
        for holes in _parts(lakes(landscape, thresholds)):
            # The contour of a hole runs through the land around it.
            yield holes._replace(box=holes.box + np.array([-1, -1, 1, 1]))


def _parts(found: Components) -> Iterator[Components]:
    for begin in range(0, len(found.image), _COMPONENTS):
        yield Components(*(column[begin : begin + _COMPONENTS] for column in found))


def _largest(landscape: Landscape, thresholds: Ints, reference: bool) -> Components:
    """The largest component of each map at each threshold.

    The reference compares the areas inside contours. The contour of a hole, or of an island in it,
    lies inside another one and is listed after it. The largest is thus an outer contour, and holes
    can be filled first.
    """
    area: Area = "polygon" if reference else "pixels"
    if reference:
        landscape = Landscape(fill_lakes(landscape, thresholds))
    found = land(landscape, thresholds, area)
    places = found.image * len(thresholds) + found.step
    largest = np.full(places.max(initial=0) + 1, -1)
    np.maximum.at(largest, places, found.area)
    winners = np.flatnonzero(found.area == largest[places])
    rivals = np.bincount(places[winners])
    alone = winners[rivals[places[winners]] == 1]
    # Of several that are largest one is picked by labeling; this is rare but for noise.
    image, step = np.divmod(np.flatnonzero(rivals > 1), len(thresholds))
    maps = landscape.inside(landscape.flat)
    picked = [
        largest_box(maps[i].astype(np.uint8) > thresholds[k], area)
        for i, k in zip(image, step, strict=True)
    ]
    return Components(
        np.append(found.image[alone], image),
        np.append(found.step[alone], step),
        np.concatenate([found.box[alone], np.array(picked, dtype=np.int64).reshape(-1, 4)]),
        np.zeros(len(alone) + len(picked), dtype=np.int64),
    )
