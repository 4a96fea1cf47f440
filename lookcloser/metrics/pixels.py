"""Scores of maps against masks and points: PxAP and the pointing game."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError
from lookcloser.metrics.class_localization import class_mean
from lookcloser.metrics.maps import Maps, as_maps, min_max, padded_boxes


class PxAP:
    """`pxap` for maps that come batch by batch.

    Args:
        thresholds: Ascending from 0, below 1; by default 0, 0.001 … 0.999.
    """

    def __init__(self, thresholds: ArrayLike | None = None) -> None:
        given = np.arange(0, 1, 0.001) if thresholds is None else np.asarray(thresholds)
        # Two more, as in the reference: only the maximum itself, and nothing at all.
        self._edges = np.append(np.asarray(given, dtype=np.float64), [1.0, 2.0])
        if not np.all(np.diff(self._edges) > 0) or self._edges[0] != 0:
            allowed = "Ascending from 0, all below 1"
            raise LookcloserError(f"thresholds = {thresholds!r}", allowed=allowed)
        self._object = np.zeros(len(self._edges), dtype=np.int64)
        self._background = np.zeros(len(self._edges), dtype=np.int64)

    def update(self, maps: ArrayLike, masks: ArrayLike) -> None:
        """Count the pixels of some images. Arguments as in `pxap`."""
        array, truth = as_maps(maps), np.asarray(masks)
        if truth.shape != array.shape:
            raise LookcloserError(f"masks of shape {truth.shape}", allowed=f"{array.shape}")
        edges = _rounded_up(self._edges, array.dtype)
        for values, mask in zip(array, truth, strict=True):
            normal = min_max(values[None])[0]
            self._object += _at_least(normal[mask == 1], edges)
            self._background += _at_least(normal[mask == 0], edges)

    def compute(self) -> float:
        """The area under the precision-recall curve of all pixels so far.

        Raises:
            LookcloserError: If there was no object pixel, for which recall is not defined.
        """
        true, false = self._object[::-1], self._background[::-1]
        if not true[-1]:
            raise LookcloserError("masks without an object", allowed="Object pixels are 1")
        # At the highest threshold, 2, nothing is detected, and precision is not defined.
        used = true + false > 0
        precision = true[used] / (true + false)[used]
        return float(np.sum(precision * np.diff(true / true[-1])[used[1:]]))


def pxap(maps: ArrayLike, masks: ArrayLike, thresholds: ArrayLike | None = None) -> float:
    """Pixel average precision of the reference protocol: maps as detectors of object pixels.

    Maps are normalized one by one, then the pixels of all images are pooled. The sum over the
    thresholds of precision times the gain in recall is taken.

    Args:
        maps: (N, h, w).
        masks: (N, h, w) with 1 for the object, 0 for the background; other pixels are ignored.
        thresholds: A pixel is detected at or above them. Ascending from 0, below 1; by default
            0, 0.001 … 0.999.

    Returns:
        A fraction.

    Raises:
        LookcloserError: If shapes differ, thresholds are not as described, or no pixel is an
            object.

    Source: Choe et al., CVPR 2020, section 4.1, and its released code.
    """
    metric = PxAP(thresholds)
    metric.update(maps, masks)
    return metric.compute()


def _at_least(values: Maps, edges: Maps) -> NDArray[np.int64]:
    """How many values are at or above each edge."""
    return len(values) - np.searchsorted(np.sort(values), edges)


def _rounded_up(edges: NDArray[np.float64], dtype: np.dtype[Any]) -> Maps:
    """The lowest numbers of another precision at or above the edges: the same values reach them.

    Searched for in their own precision, values need not be converted, which halves the time.
    """
    near: Maps = edges.astype(dtype)
    return np.where(near < edges, np.nextafter(near, np.array(np.inf, dtype)), near)


def pointing_hits(
    maps: ArrayLike, boxes: ArrayLike | Sequence[ArrayLike], tolerance: float = 0
) -> NDArray[np.bool_]:
    """Whether the maximum of each map lies in one of its true boxes.

    The point is the center of the highest pixel, the first of equals in reading order. A map with
    nothing but one value points nowhere and misses, and so does one with a NaN.

    Args:
        maps: (N, h, w).
        boxes: In pixels of the maps, x1 and y1 exclusive: (N, 4), or for each image (K, 4).
        tolerance: How many pixels the point may be away from the box.

    Returns:
        (N,) booleans.
    """
    array = as_maps(maps)
    truth = padded_boxes(boxes, len(array), inclusive=False)
    flat = array.reshape(len(array), -1)
    rows, columns = np.divmod(flat.argmax(axis=1), array.shape[2])
    points = np.stack([columns, rows], axis=1)[:, None] + 0.5
    away = np.maximum(np.maximum(truth[..., :2] - points, points - truth[..., 2:]), 0)
    hits: NDArray[np.bool_] = np.hypot(away[..., 0], away[..., 1]).min(axis=1) <= tolerance
    hits &= flat.max(axis=1) > flat.min(axis=1)
    return hits


def pointing_game(
    maps: ArrayLike,
    boxes: ArrayLike | Sequence[ArrayLike],
    tolerance: float = 0,
    classes: ArrayLike | None = None,
) -> float:
    """Share of images whose map points into a true box.

    Args:
        maps: As in `pointing_hits`.
        boxes: As in `pointing_hits`.
        tolerance: As in `pointing_hits`.
        classes: (N,) the class of each map. With it, the mean over classes of each class's share,
            as published; without, all images count the same.

    Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016, which
    allows 15 pixels of tolerance.
    """
    return class_mean(pointing_hits(maps, boxes, tolerance), classes)
