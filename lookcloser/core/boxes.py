"""Box geometry on NumPy arrays.

A box is ``(x0, y0, x1, y1)`` in pixels of an image, x the column, x1 and y1 exclusive, so that the
width is ``x1 - x0``. Normalized coordinates run from -1 at the left (upper) edge of the image to 1
at the right (lower) edge, which is ``align_corners=False`` of `torch.nn.functional.grid_sample`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core.sizes import ImageSize

Boxes = NDArray[np.floating[Any]]


def as_boxes(boxes: ArrayLike) -> Boxes:
    """``boxes`` as a float64 array of shape (..., 4).

    Raises:
        ValueError: If the last dimension is not 4.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.shape[-1:] != (4,):
        raise ValueError(f"boxes have shape {array.shape}; the last dimension must be 4.")
    return array


def area(boxes: ArrayLike) -> Boxes:
    """Areas in square pixels, shape (...); a box with x1 <= x0 or y1 <= y0 has area 0."""
    array = as_boxes(boxes)
    sides = np.maximum(array[..., 2:] - array[..., :2], 0.0)
    result: Boxes = sides[..., 0] * sides[..., 1]
    return result


def iou(first: ArrayLike, second: ArrayLike) -> Boxes:
    """Intersection over union of every pair: (N, 4) and (M, 4) -> (N, M); 0 for empty boxes."""
    a, b = as_boxes(first)[:, None, :], as_boxes(second)[None, :, :]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    intersection = area(np.concatenate([low, high], axis=-1))
    union = area(a) + area(b) - intersection
    result: Boxes = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return result


def clip(boxes: ArrayLike, size: ImageSize) -> Boxes:
    """The part of each box inside an image of ``size``; shape kept."""
    width, height = size
    result: Boxes = np.clip(as_boxes(boxes), 0.0, np.array([width, height, width, height]))
    return result


def scale(boxes: ArrayLike, from_size: ImageSize, to_size: ImageSize) -> Boxes:
    """Boxes of an image of ``from_size`` in the pixels of the same image at ``to_size``."""
    x, y = to_size[0] / from_size[0], to_size[1] / from_size[1]
    result: Boxes = as_boxes(boxes) * np.array([x, y, x, y])
    return result


def to_normalized(boxes: ArrayLike, size: ImageSize) -> Boxes:
    """Pixels -> [-1, 1], for an image of ``size``."""
    return scale(boxes, size, ImageSize(2, 2)) - 1.0


def to_pixels(boxes: ArrayLike, size: ImageSize) -> Boxes:
    """[-1, 1] -> pixels, the inverse of `to_normalized`."""
    return scale(as_boxes(boxes) + 1.0, ImageSize(2, 2), size)
