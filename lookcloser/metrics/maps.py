"""What the localization scores take: maps, their normalization and size, and true boxes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError
from lookcloser.core.boxes import Boxes, clip, scale
from lookcloser.core.boxes import as_boxes as boxes_array
from lookcloser.core.choices import BoxRule
from lookcloser.core.errors import unknown
from lookcloser.core.sizes import ImageSize

Maps = NDArray[np.floating[Any]]


def as_maps(maps: ArrayLike) -> Maps:
    """``maps`` as an array of shape (N, h, w), float64 where it was that, else float32.

    Raises:
        LookcloserError: If the shape is another one or a size is 0.
    """
    array = np.asarray(maps)
    if array.ndim != 3 or 0 in array.shape:
        raise LookcloserError(
            f"maps of shape {array.shape}", allowed="Maps have the shape (N, h, w), no size is 0."
        )
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=False)


def min_max(maps: Maps) -> Maps:
    """Each map (N, h, w) from its minimum to its maximum onto [0, 1], in its own precision.

    A constant map, and a map with a NaN, becomes all zeros, as in the reference protocol
    (wsolevaluation, Choe et al., CVPR 2020).

    Raises:
        LookcloserError: If the range of a map is not finite.
    """
    low = maps.min(axis=(1, 2), keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = maps.max(axis=(1, 2), keepdims=True) - low
    if np.isinf(low).any() or np.isinf(spread).any():
        worst = int(np.flatnonzero(np.isinf(low) | np.isinf(spread))[0])
        raise LookcloserError(f"maps[{worst}] has values without bounds", allowed="Finite maps")
    empty = ~(spread > 0)
    normal: Maps = np.subtract(maps, np.where(empty, 0, low))
    normal /= np.where(empty, 1, spread)
    normal[empty[:, 0, 0]] = 0
    return normal


def relative(maps: Maps, rule: BoxRule) -> Maps:
    """Each map (N, h, w) on [0, 1], so that a share of what the rule says is a plain threshold.

    Args:
        maps: As they are, negative values included.
        rule: "range": from the minimum to the maximum, as the published scoring protocol (see
            `min_max`); "max": positive values over the maximum (the CAM paper), negative ones are
            0. They are the same where the lowest value is 0. A map without a positive value becomes
            all zeros by "max".

    Raises:
        LookcloserError: If the rule is unknown, or a map is not finite.
    """
    if rule not in get_args(BoxRule):
        raise unknown(rule, "box rule", get_args(BoxRule))
    if rule == "range":
        return min_max(maps)
    highest = maps.max(axis=(1, 2), keepdims=True)
    if np.isinf(highest).any():
        worst = int(np.flatnonzero(np.isinf(highest))[0])
        raise LookcloserError(f"maps[{worst}] has values without bounds", allowed="Finite maps")
    there = highest > 0
    shares: Maps = np.where(there, np.maximum(maps, 0), 0) / np.where(there, highest, 1)
    return shares


def upsample_maps(maps: ArrayLike, size: ImageSize) -> NDArray[np.float32]:
    """Maps (N, h, w) at another size, bicubic with the pixel grids aligned at their borders.

    This is the interpolation of the reference protocol (``cv2.resize`` with ``INTER_CUBIC``: cubic
    convolution with a = -0.75, border pixels repeated, no smoothing) up to float32 rounding, which
    moves about 3 pixels in 100,000 to the next of 256 levels.

    Args:
        maps: (N, h, w).
        size: Of the result.

    Returns:
        (N, height, width), float32.
    """
    source = np.asarray(as_maps(maps), dtype=np.float32)
    width, height = size
    down = _cubic_weights(source.shape[1], height)
    across = _cubic_weights(source.shape[2], width)
    large: NDArray[np.float32] = down @ (source @ across.T)
    return large


@cache
def _cubic_weights(source: int, target: int) -> NDArray[np.float32]:
    """(target, source): how much each pixel of a line counts for each of the enlarged line."""
    at = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(at).astype(int)
    weights = np.zeros((target, source))
    rows = np.arange(target)
    for offset in (-1, 0, 1, 2):
        # Border pixels are repeated, so that several may fall on one.
        pixels = np.clip(first + offset, 0, source - 1)
        np.add.at(weights, (rows, pixels), _cubic(at - first - offset))
    return weights.astype(np.float32)


def _cubic(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel of cubic convolution with a = -0.75, for distances up to 2."""
    a, x = -0.75, np.abs(distances)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * a * x - 4 * a
    kernel: NDArray[np.float64] = np.where(x <= 1, near, far)
    return kernel


def center_maps(count: int, size: ImageSize) -> NDArray[np.float32]:
    """The baseline that looks at the middle of every image: ``count`` centered Gaussians.

    The reference protocol's center baseline. Scored like any other maps, it takes at each threshold
    a centered box with the proportions of the image, so that the threshold chooses its share.

    Args:
        count: How many maps. They share their memory and are read-only.
        size: Of each.

    Returns:
        (count, height, width), float32.
    """
    width, height = size
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    # One standard deviation at the middle of a border: thresholds spread over all box sizes.
    gaussian = np.exp(-(x**2 + y[:, None] ** 2) / 2).astype(np.float32)
    return np.broadcast_to(gaussian, (count, height, width))


def random_maps(count: int, size: ImageSize, seed: int = 0) -> NDArray[np.float32]:
    """The baseline that has seen nothing: maps of independent values, even in [0, 1).

    Enlarged and scored like any other maps, they say what the resolution, the upsampling and the
    choice of the threshold give alone.

    Args:
        count: How many maps.
        size: Best that of the maps they are compared with, before upsampling.
        seed: Of the values; a map does not depend on how many come after it.

    Returns:
        (count, height, width), float32.
    """
    width, height = size
    return np.random.default_rng(seed).random((count, height, width), dtype=np.float32)


def reference_boxes(
    boxes: ArrayLike, from_size: ImageSize, to_size: ImageSize
) -> NDArray[np.int64]:
    """True boxes as the reference protocol prepares them for maps of another size.

    Args:
        boxes: (..., 4) in pixels of the original image, x1 and y1 exclusive.
        from_size: Of the image.
        to_size: Of the maps.

    Returns:
        (..., 4) whole numbers: the exclusive ends are cut to the last column and row and from then
        on taken as inclusive; scaled coordinates lose their fraction. Both are the protocol's.
    """
    width, height = from_size
    inside = clip(boxes, ImageSize(width - 1, height - 1))
    return np.trunc(scale(inside, from_size, to_size)).astype(np.int64)


def padded_boxes(boxes: ArrayLike | Sequence[ArrayLike], count: int, inclusive: bool) -> Boxes:
    """True boxes of ``count`` images as one array (count, K, 4), filled up with repetitions.

    Args:
        boxes: (N, 4), (N, K, 4), or a sequence of N arrays (K, 4) with different K.
        count: N.
        inclusive: Whether x1 and y1 are inclusive and all coordinates whole numbers.

    Raises:
        LookcloserError: If there is another number of images, an image has no box, or a box is
            empty or not in the convention.
    """
    each = [boxes_array(box).reshape(-1, 4) for box in boxes]  # type: ignore[union-attr]
    if len(each) != count:
        raise LookcloserError(f"true boxes for {len(each)} images", allowed=f"{count}, as maps")
    most = max(len(box) for box in each)
    for image, box in enumerate(each):
        fault = _fault(box, inclusive)
        if fault:
            raise LookcloserError(f"boxes[{image}] = {box.tolist()}: {fault[0]}", fix=fault[1])
    return np.stack([box[np.arange(most) % len(box)] for box in each])


def _fault(boxes: Boxes, inclusive: bool) -> tuple[str, str] | None:
    if not len(boxes):
        return "no true box", "Score only images that have one"
    if inclusive and np.any(boxes != np.trunc(boxes)):
        fix = 'Convert them with `reference_boxes`, or score with mode="corrected"'
        return "not whole numbers, as the reference mode takes them", fix
    if np.any(boxes[:, 2:] - boxes[:, :2] + inclusive <= 0):
        return "an empty box", "Boxes are (x0, y0, x1, y1) with x0 < x1 and y0 < y1"
    return None
