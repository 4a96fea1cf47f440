"""Scores of weakly supervised localization with true boxes: MaxBoxAcc, and top-k localization.

Two conventions:

- ``mode="reference"`` gives, bit for bit, what the protocol of wsolevaluation gives (Choe et al.,
  "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020). Maps are quantized
  to 256 levels between their minimum and maximum, and a pixel is kept when strictly above
  ``int(threshold * 255)``. Boxes are those of the contours, holes included, as ``cv2.findContours``
  lists them, one pixel too wide and too high unless at the border. True boxes are whole numbers
  with inclusive ends; `lookcloser.metrics.reference_boxes` makes them.
- ``mode="corrected"`` keeps the quantization, but takes the exact boxes of the components, x1 and
  y1 exclusive, and no holes. True boxes are exclusive too, and need not be whole numbers.

Maps are scored at their own resolution, and boxes are in their pixels.
`lookcloser.metrics.upsample_maps` enlarges maps as the protocol does.

A threshold that was chosen on the images that it scores is optimistic. `box_acc_at` applies those
of another split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError
from lookcloser.core.choices import BoxRule
from lookcloser.core.errors import unknown
from lookcloser.metrics.classification import topk_hits
from lookcloser.metrics.level_sets.overlaps import Choice, Mode, best_overlaps
from lookcloser.metrics.maps import as_maps, padded_boxes

Floats = NDArray[np.float64]
TrueBoxes = ArrayLike | Sequence[ArrayLike]

IOUS = (0.3, 0.5, 0.7)


class BoxAccuracyCurve(NamedTuple):
    """Share of images whose best box matches, for each IoU and threshold.

    Attributes:
        thresholds: (T,)
        ious: (I,)
        accuracy: (I, T)
    """

    thresholds: Floats
    ious: Floats
    accuracy: Floats

    def best(self) -> dict[float, float]:
        """For each IoU the threshold with the highest accuracy, the lowest of equals."""
        columns = self.accuracy.argmax(axis=1)
        return dict(zip(self.ious.tolist(), self.thresholds[columns].tolist(), strict=True))

    def max_box_acc(self) -> dict[str, float]:
        """The accuracies at the thresholds of `best`, as `max_box_acc` returns them."""
        return _named("MaxBoxAcc", self.ious, self.accuracy.max(axis=1))


class MaxBoxAcc:
    """`box_accuracy_curve` for maps that come batch by batch. Arguments as there."""

    def __init__(
        self,
        ious: Sequence[float] = IOUS,
        components: Choice = "all",
        mode: Mode = "reference",
        thresholds: ArrayLike | None = None,
        rule: BoxRule = "range",
    ) -> None:
        if components not in get_args(Choice):
            raise unknown(components, "components", get_args(Choice))
        if mode not in get_args(Mode):
            raise unknown(mode, "mode", get_args(Mode))
        self.ious = np.asarray(ious, dtype=np.float64)
        self.components, self.mode, self.rule = components, mode, rule
        self.thresholds = _thresholds(thresholds)
        # Many thresholds fall between the same two of the 256 values.
        levels = (self.thresholds * 255).astype(np.int64)
        self._levels, self._of_threshold = np.unique(levels, return_inverse=True)
        self._hits = np.zeros((len(self.ious), len(self._levels)), dtype=np.int64)
        self._count = 0

    def update(self, maps: ArrayLike, boxes: TrueBoxes) -> Floats:
        """Count some images; returns their best IoU at every threshold, (N, T)."""
        array = as_maps(maps)
        truth = padded_boxes(boxes, len(array), inclusive=self.mode == "reference")
        found = []
        how = self.components, self.mode, self.rule
        for part in best_overlaps(array, truth, self._levels, *how):
            self._hits += (part >= self.ious[:, None, None]).sum(axis=1)
            self._count += len(part)
            found.append(part)
        return np.concatenate(found)[:, self._of_threshold]

    def compute(self) -> BoxAccuracyCurve:
        """The curve over all images so far.

        Raises:
            LookcloserError: If there were none.
        """
        if not self._count:
            raise LookcloserError("no maps were scored", fix="Call `update` first")
        accuracy = self._hits[:, self._of_threshold] / self._count
        return BoxAccuracyCurve(self.thresholds, self.ious, accuracy)


def box_overlaps(
    maps: ArrayLike,
    boxes: TrueBoxes,
    components: Choice = "all",
    mode: Mode = "reference",
    thresholds: ArrayLike | None = None,
    rule: BoxRule = "range",
) -> Floats:
    """Best IoU of any box of a map with any of its true boxes.

    Args:
        maps: As in `max_box_acc`, like the next four.
        boxes: As there.
        components: As there.
        mode: As there.
        thresholds: As there.
        rule: What thresholds are shares of; see `boxes_from_maps`.

    Returns:
        (N, T), for every map and threshold.
    """
    return MaxBoxAcc((), components, mode, thresholds, rule).update(maps, boxes)


def box_accuracy_curve(
    maps: ArrayLike,
    boxes: TrueBoxes,
    ious: Sequence[float] = IOUS,
    components: Choice = "all",
    mode: Mode = "reference",
    thresholds: ArrayLike | None = None,
) -> BoxAccuracyCurve:
    """Share of images with a matching box at every threshold. Arguments as in `max_box_acc`."""
    metric = MaxBoxAcc(ious, components, mode, thresholds)
    metric.update(maps, boxes)
    return metric.compute()


def max_box_acc(
    maps: ArrayLike,
    boxes: TrueBoxes,
    ious: Sequence[float] = IOUS,
    components: Choice = "all",
    mode: Mode = "reference",
    thresholds: ArrayLike | None = None,
) -> dict[str, float]:
    """Localization accuracy at the threshold that is best for these very images.

    Args:
        maps: (N, h, w) one map per image, of its true class (as the reference does) or any other.
        boxes: True boxes in pixels of the maps: (N, 4), or for each image (K, 4). An image counts
            when any of its true boxes is matched.
        ious: How much the boxes must overlap at least. Each has its own best threshold.
        components: "all": the box of any component may match (MaxBoxAccV2); "largest": only that of
            the largest one (MaxBoxAcc). Largest by the area inside the contour in reference mode,
            by the number of pixels in corrected mode.
        mode: "reference" or "corrected", see `lookcloser.metrics.localization`.
        thresholds: Shares in [0, 1] of a map's range; by default 0, 0.001 … 0.999.

    Returns:
        Fractions: "MaxBoxAcc@0.3" … for each of ``ious``, and their "mean".

    Raises:
        LookcloserError: If shapes, boxes or options are not as described.

    Example:
        >>> import numpy as np
        >>> maps = np.zeros((1, 8, 8))
        >>> maps[0, 2:6, 2:6] = 1
        >>> max_box_acc(maps, [[2, 2, 6, 6]], ious=[0.9], mode="corrected")
        {'MaxBoxAcc@0.9': 1.0, 'mean': 1.0}
    """
    return box_accuracy_curve(maps, boxes, ious, components, mode, thresholds).max_box_acc()


def box_acc_at(
    maps: ArrayLike,
    boxes: TrueBoxes,
    thresholds: Mapping[float, float],
    components: Choice = "all",
    mode: Mode = "reference",
) -> dict[str, float]:
    """Localization accuracy at given thresholds, those of another split for an honest score.

    Args:
        maps: As in `max_box_acc`.
        boxes: As in `max_box_acc`.
        thresholds: For each IoU its threshold; `BoxAccuracyCurve.best` of the other split.
        components: As in `max_box_acc`.
        mode: As in `max_box_acc`.

    Returns:
        Fractions: "BoxAcc@0.3" … for each IoU, and their "mean".
    """
    ious = np.array(list(thresholds))
    overlaps = box_overlaps(maps, boxes, components, mode, list(thresholds.values()))
    return _named("BoxAcc", ious, (overlaps >= ious).mean(axis=0))


def top_k_localization(
    scores: ArrayLike, targets: ArrayLike, overlaps: ArrayLike, k: int = 1, iou: float = 0.5
) -> float:
    """Share of images with the right class among the best k *and* its box in the right place.

    Args:
        scores: (N, C) logits or probabilities.
        targets: (N,) true classes.
        overlaps: (N,) IoU of the box for the true class, for instance a column of `box_overlaps`.
        k: How many classes may be named.
        iou: How much the boxes must overlap at least.
    """
    placed = np.asarray(overlaps, dtype=np.float64) >= iou
    hits = topk_hits(scores, targets, k)
    if placed.shape != hits.shape:
        raise LookcloserError(
            f"overlaps of shape {placed.shape}", allowed=f"One per image, {hits.shape}"
        )
    return float(np.mean(hits & placed))


def _named(name: str, ious: Floats, accuracies: Floats) -> dict[str, float]:
    pairs = zip(ious.tolist(), accuracies.tolist(), strict=True)
    scores = {f"{name}@{iou:g}": accuracy for iou, accuracy in pairs}
    return {**scores, "mean": float(np.mean(accuracies))}


def _thresholds(thresholds: ArrayLike | None) -> Floats:
    if thresholds is None:
        return np.arange(0, 1, 0.001)
    array = np.asarray(thresholds, dtype=np.float64).reshape(-1)
    if not array.size or not np.all((array >= 0) & (array <= 1)):
        raise LookcloserError(f"thresholds = {thresholds!r}", allowed="Shares from 0 to 1")
    return array
