"""Where the maps of each class are cut: chosen on boxes of the validation split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.annotation.label_maps import LabelMaps, label_maps
from lookcloser.core import boxes as geometry
from lookcloser.core.header import ModelHeader
from lookcloser.data import Sample
from lookcloser.metrics.thresholds import SCORED_IOU, THRESHOLDS
from lookcloser.runtime import Engine
from lookcloser.runtime.regions import upsample

# A class with as many boxes as this trusts its own and those of all classes alike.
TRUSTED = 20


def class_thresholds(engine: Engine, samples: Sequence[Sample]) -> tuple[dict[str, float], int]:
    """The best cut of each class on images with boxes, all labels known, and how many were used.

    A class's own images weigh against all others' as their number against `TRUSTED`, so that a
    class with three boxes does not get a threshold of its own by chance. Without any boxes every
    class has the model's.
    """
    classes: list[int] = []
    overlaps: list[NDArray[np.float64]] = []
    header = engine.header
    for batch in label_maps(engine, samples, labels_of=lambda sample: sample.labels):
        for looked in batch:
            if isinstance(looked, LabelMaps):
                _score(looked, header, classes, overlaps)
    if not overlaps:
        return dict.fromkeys(header.names, header.box_threshold), 0
    return _choose(np.array(classes), np.stack(overlaps), header.names), len(overlaps)


def _choose(
    classes: NDArray[np.int64], overlaps: NDArray[np.float64], names: Sequence[str]
) -> dict[str, float]:
    """Per class the threshold with the most boxes found, of equals the best mean IoU.

    Args:
        classes: (N,) whose boxes.
        overlaps: (N, T) IoU of each with its true box at each of the thresholds.
        names: Class names by index.
    """
    found = overlaps >= SCORED_IOU
    chosen = {}
    for index, name in enumerate(names):
        own = classes == index
        sums = [rows[own].sum(axis=0) + TRUSTED * rows.mean(axis=0) for rows in (found, overlaps)]
        chosen[name] = float(THRESHOLDS[metrics.best_level(*sums)])
    return chosen


def _score(
    looked: LabelMaps, header: ModelHeader, classes: list[int], overlaps: list[NDArray[np.float64]]
) -> None:
    """Add the overlaps of each label that has boxes."""
    grid = header.preprocessing.size
    for row, index in enumerate(looked.classes):
        boxes = looked.sample.boxes_of(header.names[index])
        if not boxes:
            continue
        true = geometry.scale(boxes, looked.size, grid.image_size)
        large = upsample(looked.maps[row : row + 1], grid)
        found = metrics.box_overlaps(
            large, [true], "largest", "corrected", THRESHOLDS, header.box_rule
        )
        classes.append(index)
        overlaps.append(found[0])
