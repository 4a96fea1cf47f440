"""How evidence moves: from step to step of a sequence, and into nested views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core.boxes import Boxes, area, as_boxes, iou
from lookcloser.core.sizes import ImageSize
from lookcloser.metrics.maps import as_maps

Floats = NDArray[np.float64]


class Shift(NamedTuple):
    """The evidence of one answer, step by step.

    Attributes:
        overlap: (T - 1,) evidence that two steps in a row have in common: 1 where they look at the
            same places alike, 0 where at none of the same.
        distance: (T - 1,) between the centers of their evidence, as a share of the image's
            diagonal, with both sides taken as equally long.
        center: (T, 2) x, y of the center of the evidence, in [0, 1].
        size: (T,) share of the image that the evidence would fill if it were even there; a single
            cell is 1 over the number of cells.

    NaN where a step has no evidence.
    """

    overlap: Floats
    distance: Floats
    center: Floats
    size: Floats


class Nested(NamedTuple):
    """Views of one image, coarse to fine.

    Attributes:
        size: (S,) share of the image's area.
        center: (S, 2) x, y of the middle in [0, 1].
        inside: (S,) share of the view that lies in the one before, the first in the image.
        overlap: (S - 1,) IoU of each with the one before.
    """

    size: Floats
    center: Floats
    inside: Floats
    overlap: Floats


def attention_shift(maps: ArrayLike) -> Shift:
    """How the evidence moves over the maps (T, h, w) of one answer; negative values are none."""
    array = np.maximum(as_maps(maps).astype(np.float64), 0.0)
    total = array.sum(axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        density = np.where(total > 0, array / total, np.nan)
    height, width = array.shape[1:]
    y = (density.sum(axis=2) * ((np.arange(height) + 0.5) / height)).sum(axis=1)
    x = (density.sum(axis=1) * ((np.arange(width) + 0.5) / width)).sum(axis=1)
    return Shift(
        overlap=np.minimum(density[1:], density[:-1]).sum(axis=(1, 2)),
        distance=np.hypot(np.diff(x), np.diff(y)) / np.sqrt(2),
        center=np.stack([x, y], axis=1),
        size=1 / (density**2).sum(axis=(1, 2)) / (height * width),
    )


def nested_views(boxes: ArrayLike, size: ImageSize) -> Nested:
    """Where finer and finer views lie.

    Args:
        boxes: (S, 4) in pixels of the image, coarse to fine.
        size: Of the image.
    """
    views = as_boxes(boxes)
    width, height = size
    frame: Boxes = np.concatenate([[[0.0, 0.0, width, height]], views])
    low = np.maximum(frame[1:, :2], frame[:-1, :2])
    high = np.minimum(frame[1:, 2:], frame[:-1, 2:])
    own = area(views)
    shared = area(np.concatenate([low, high], axis=1))
    return Nested(
        size=np.asarray(own / (width * height), dtype=np.float64),
        center=(views[:, :2] + views[:, 2:]) / 2 / np.array([width, height]),
        inside=np.divide(shared, own, out=np.zeros_like(own), where=own > 0),
        overlap=np.diagonal(iou(views[1:], views[:-1])).astype(np.float64),
    )
