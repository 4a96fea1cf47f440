"""Whether the boxes into which a model looks closer lie on the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookcloser.core import boxes as geometry
from lookcloser.core.boxes import Boxes
from lookcloser.core.choices import BoxKind
from lookcloser.core.results.scores import CENTER_BOX, Score
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Box
from lookcloser.metrics.thresholds import SCORED_IOU

Floats = NDArray[np.float32]


@dataclass
class _Scale:
    """Sums over the images so far."""

    found: int = 0
    overlap: float = 0.0
    on_object: int = 0

    def add(self, boxes: Boxes, truth: Boxes) -> None:
        """One box of an image beside its true boxes."""
        iou = float(geometry.iou(boxes[None], truth).max())
        x, y = (boxes[:2] + boxes[2:]) / 2
        inside = (truth[:, 0] <= x) & (x <= truth[:, 2]) & (truth[:, 1] <= y) & (y <= truth[:, 3])
        self.found += iou >= SCORED_IOU
        self.overlap += iou
        self.on_object += bool(inside.any())


def look_names(kind: BoxKind, count: int) -> tuple[str, ...]:
    """What the ``count`` looks of an answer are called, that at the whole image first."""
    if kind == "place":
        return "whole image", *(f"place {number}" for number in range(1, count))
    return tuple(f"scale {number}" for number in range(1, count + 1))


class ScaleBoxTally:
    """The boxes of the finer scales, or of places, beside true boxes, batch by batch.

    Each is compared with a box of its own size in the middle of the image. Boxes are made from no
    threshold, so that no true box is used for anything but the score.

    Args:
        kind: What a box is.
    """

    def __init__(self, kind: BoxKind = "scale") -> None:
        self._kind = kind
        self._own: list[_Scale] = []
        self._center: list[_Scale] = []
        self._images = 0

    def add(
        self,
        boxes: Floats | None,
        truth: Sequence[Sequence[Box]],
        sizes: Sequence[ImageSize],
    ) -> None:
        """Count the images of a batch that have true boxes.

        Args:
            boxes: (B, S, 4) in [-1, 1]; None for a model that has none.
            truth: The true boxes of the true class of each image, in original pixels.
            sizes: Of each image.
        """
        if boxes is None:
            return
        for own, true_boxes, size in zip(boxes, truth, sizes, strict=True):
            if not true_boxes:
                continue
            if not self._own:
                self._own = [_Scale() for _ in own]
                self._center = [_Scale() for _ in own]
            self._images += 1
            true = geometry.as_boxes(true_boxes)
            for scale, box in enumerate(geometry.to_pixels(own, size)):
                half = (box[2:] - box[:2]) / 2
                middle = np.array(size) / 2
                self._own[scale].add(box, true)
                self._center[scale].add(np.concatenate([middle - half, middle + half]), true)

    def scores(self) -> tuple[Score, ...]:
        """For each box: those with IoU ≥ 0.5, mean IoU, and middles on the object."""
        found = []
        names = look_names(self._kind, 1 + len(self._own))[1:]
        for name, own, center in zip(names, self._own, self._center, strict=True):
            values = {
                f"BoxAcc@{SCORED_IOU} {name}": (own.found, center.found),
                f"mean IoU {name}": (own.overlap, center.overlap),
                f"pointing {name}": (own.on_object, center.on_object),
            }
            found += [
                Score(
                    title, value / self._images, None, {CENTER_BOX: guess / self._images},
                    higher_is_better=True, of_evidence=True,
                )
                for title, (value, guess) in values.items()
            ]  # fmt: skip
        return tuple(found)
