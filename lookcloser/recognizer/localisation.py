"""How well the maps of the true class find the true boxes, with thresholds chosen elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core import boxes as geometry
from lookcloser.core.boxes import Boxes
from lookcloser.core.types import Box
from lookcloser.recognizer.evidence import Size, upsample

Floats = NDArray[np.float64]
Choice = Literal["all", "largest"]

IOUS = (0.3, 0.5, 0.7)
THRESHOLDS = np.arange(0.01, 1.0, 0.01)
SCORED_IOU = 0.5


@dataclass(frozen=True)
class Places:
    """Maps beside true boxes, on one grid; only images that have boxes.

    The scores normalise each map from its minimum to its maximum, as the reference protocol does:
    evidence against a class is small outside a large object too, and widens its box.

    Attributes:
        rows: Which rows of the split.
        maps: (N, h, w) of the true class, raw.
        boxes: N arrays (K, 4) in pixels of the grid.
        grid: (height, width), the network's input.
    """

    rows: tuple[int, ...]
    maps: NDArray[np.float32]
    boxes: tuple[Boxes, ...]
    grid: Size

    def chunks(self, size: int = 256) -> Iterator[tuple[NDArray[np.float32], tuple[Boxes, ...]]]:
        """Maps at the size of the grid with their boxes, a few hundred at a time."""
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            yield upsample(self.maps[part], self.grid), self.boxes[part]


def find_places(
    maps: NDArray[np.float32],
    true_boxes: Sequence[Sequence[Box]],
    sizes: Sequence[Size],
    grid: Size,
) -> Places:
    """`Places` from raw maps (N, h, w), boxes in original pixels, images of (width, height)."""
    rows = tuple(row for row, boxes in enumerate(true_boxes) if boxes)
    scaled = tuple(geometry.scale(true_boxes[row], sizes[row], (grid[1], grid[0])) for row in rows)
    return Places(rows, maps[list(rows)], scaled, grid)


def best_thresholds(places: Places, components: Choice = "largest") -> dict[float, float]:
    """For each IoU the cut at which most images of ``places`` are found."""
    return _curve(places, components).best()


@dataclass(frozen=True)
class Localisation:
    """What was found.

    Attributes:
        scores: MaxBoxAcc per IoU (largest component) and MaxBoxAccV2 (any component, mean over the
            IoUs), each beside the same score of the best centred box; pointing.
        intervals: 95 % bootstrap intervals of some of them.
        ious: For each of the places, the IoU of its box at the threshold for IoU 0.5.
        settings: How, in words.
    """

    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    ious: Floats
    settings: dict[str, str]


def score_localisation(places: Places, others: Places | None, split: str) -> Localisation:
    """Score the maps of a split at the thresholds that are best on another (or on itself).

    Args:
        places: What is scored.
        others: Of the split val, where the thresholds are chosen; where it is None or has no boxes,
            they are chosen on ``places``, and the settings say so.
        split: The name of the scored split.
    """
    chosen_on = others if others is not None and others.rows else places
    optimistic = f"the scored split {split} itself (optimistic)"
    scores: dict[str, float] = {}
    chosen = best_thresholds(chosen_on)
    largest = _overlaps_at(places, chosen, "largest")
    for iou, column in zip(IOUS, largest.T, strict=True):
        scores[f"MaxBoxAcc@{iou}"] = float((column >= iou).mean())
    ious = largest[:, IOUS.index(SCORED_IOU)]
    every = _overlaps_at(places, best_thresholds(chosen_on, "all"), "all")
    scores["MaxBoxAccV2"] = float((every >= np.array(IOUS)).mean())
    scores |= _centre_box(places, chosen_on)
    pointed = [metrics.pointing_hits(maps, boxes) for maps, boxes in places.chunks()]
    scores["pointing"] = float(np.concatenate(pointed).mean())
    name = f"MaxBoxAcc@{SCORED_IOU}"
    return Localisation(
        scores,
        {name: metrics.bootstrap_interval(ious >= SCORED_IOU)},
        ious,
        {
            "thresholds chosen on": optimistic if chosen_on is places else "the separate split val",
            "thresholds": ", ".join(f"{tau:.2f} for IoU {iou}" for iou, tau in chosen.items()),
            "boxes": f"{len(places.rows)} maps beside true boxes, which never reach the training",
        },
    )


def _curve(places: Places, components: Choice) -> metrics.BoxAccuracyCurve:
    metric = metrics.MaxBoxAcc(IOUS, components, "corrected", THRESHOLDS)
    for maps, boxes in places.chunks():
        metric.update(maps, boxes)
    return metric.compute()


def _overlaps_at(places: Places, thresholds: dict[float, float], components: Choice) -> Floats:
    """(N, 3) best IoU of each map at the threshold of each of `IOUS`."""
    levels = [thresholds[iou] for iou in IOUS]
    return np.concatenate(
        [
            metrics.box_overlaps(maps, boxes, components, "corrected", levels)
            for maps, boxes in places.chunks()
        ]
    )


def _centre_box(places: Places, chosen_on: Places) -> dict[str, float]:
    """The same scores for the best centred box, its share chosen where the thresholds are."""
    height, width = places.grid
    found = [
        Places(
            part.rows, metrics.centre_maps(len(part.rows), (width, height)), part.boxes, part.grid
        )
        for part in (places, chosen_on)
    ]
    overlaps = _overlaps_at(found[0], best_thresholds(found[1]), "largest")
    hits = overlaps >= np.array(IOUS)
    return {
        "MaxBoxAcc@0.5 centre box": float(hits[:, IOUS.index(SCORED_IOU)].mean()),
        "MaxBoxAccV2 centre box": float(hits.mean()),
    }
