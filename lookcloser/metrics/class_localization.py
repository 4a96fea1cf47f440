"""CorLoc: how often one box per image finds an object of the class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError
from lookcloser.core.boxes import as_boxes
from lookcloser.metrics.level_sets.overlaps import row_iou
from lookcloser.metrics.maps import padded_boxes


def corloc_hits(
    found: ArrayLike, boxes: ArrayLike | Sequence[ArrayLike], iou: float = 0.5
) -> NDArray[np.bool_]:
    """Whether the one box of each image matches one of its true boxes.

    Args:
        found: (N, 4) x0, y0, x1, y1, x1 and y1 exclusive, as from `boxes_from_maps`; a box with a
            NaN is none, and misses.
        boxes: True boxes in the same pixels: (N, 4), or for each image (K, 4). Only images that
            hold the class are scored, so each has one.
        iou: How much the boxes must overlap at least.

    Returns:
        (N,) booleans.

    Raises:
        LookcloserError: If numbers of images differ, or an image has no true box.
    """
    array = as_boxes(found).reshape(-1, 4)
    truth = padded_boxes(boxes, len(array), inclusive=False)
    seen: NDArray[np.bool_] = ~np.any(np.isnan(array), axis=1)
    overlaps = row_iou(np.where(seen[:, None], array, 0)[:, None], truth, inclusive=False)
    hits: NDArray[np.bool_] = seen & (overlaps.max(axis=1) >= iou)
    return hits


def corloc(
    found: ArrayLike,
    boxes: ArrayLike | Sequence[ArrayLike],
    classes: ArrayLike | None = None,
    iou: float = 0.5,
) -> float:
    """Share of images with a correctly localized object.

    Args:
        found: As in `corloc_hits`.
        boxes: As in `corloc_hits`.
        classes: (N,) the class whose object is looked for. With it, the mean over classes of each
            class's share, as the numbers published for PASCAL VOC are; without, all images count
            the same.
        iou: As in `corloc_hits`.

    Source: Deselaers et al., "Weakly Supervised Localization and Learning with Generic Knowledge",
    IJCV 2012.
    """
    return class_mean(corloc_hits(found, boxes, iou), classes)


def class_mean(hits: NDArray[np.bool_], classes: ArrayLike | None) -> float:
    """The mean of hits (N,), or with ``classes`` (N,) the mean of each class's mean.

    Raises:
        LookcloserError: If there is not one class for each hit.
    """
    if classes is None:
        return float(hits.mean())
    names, numbers = np.unique(np.asarray(classes), return_inverse=True)
    if numbers.shape != hits.shape:
        raise LookcloserError(f"classes of shape {numbers.shape}", allowed=f"{hits.shape}")
    counts = np.bincount(numbers, minlength=len(names))
    return float(np.mean(np.bincount(numbers, weights=hits) / counts))
