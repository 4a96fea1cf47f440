"""How well the maps of the true class find the true boxes, with thresholds chosen elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core import boxes as geometry
from lookcloser.core.boxes import Boxes
from lookcloser.core.types import SUPERVISION, Box
from lookcloser.metrics.corloc import class_mean
from lookcloser.metrics.thresholds import Source
from lookcloser.recognizer.evidence import Size, upsample
from lookcloser.recognizer.supervision import SEED, Supervision

Floats = NDArray[np.float64]
Choice = Literal["all", "largest"]

IOUS = (0.3, 0.5, 0.7)
THRESHOLDS = np.arange(0.01, 1.0, 0.01)
SCORED_IOU = 0.5
RANDOM_SEED = 0


@dataclass(frozen=True)
class Places:
    """Maps beside true boxes, on one grid; only images that have boxes.

    The scores normalise each map from its minimum to its maximum, as the reference protocol does:
    evidence against a class is small outside a large object too, and widens its box.

    Attributes:
        rows: Which of the given maps.
        images: (N,) which image of the split each map is of.
        classes: (N,) whose map.
        maps: (N, h, w) of the true class, raw.
        boxes: N arrays (K, 4) in pixels of the grid.
        grid: (height, width), the network's input.
    """

    rows: tuple[int, ...]
    images: NDArray[np.int64]
    classes: NDArray[np.int64]
    maps: NDArray[np.float32]
    boxes: tuple[Boxes, ...]
    grid: Size

    def chunks(self, size: int = 256) -> Iterator[tuple[NDArray[np.float32], tuple[Boxes, ...]]]:
        """Maps at the size of the grid with their boxes, a few hundred at a time."""
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            yield upsample(self.maps[part], self.grid), self.boxes[part]


Kind = Callable[[Places], Places]


def find_places(
    maps: NDArray[np.float32],
    true_boxes: Sequence[Sequence[Box]],
    sizes: Sequence[Size],
    grid: Size,
    classes: Sequence[int],
    images: Sequence[int] | None = None,
) -> Places:
    """`Places` from raw maps (N, h, w), boxes in original pixels, images of (width, height).

    ``images`` says which image a map is of; without it each is of its own.
    """
    rows = tuple(row for row, boxes in enumerate(true_boxes) if boxes)
    scaled = tuple(geometry.scale(true_boxes[row], sizes[row], (grid[1], grid[0])) for row in rows)
    kept = np.array(rows, dtype=np.int64)
    of_image = np.arange(len(maps)) if images is None else np.array(images, dtype=np.int64)
    return Places(
        rows, of_image[kept], np.array(classes, dtype=np.int64)[kept], maps[kept], scaled, grid
    )


def choose_cuts(
    places: Places | None,
    components: Choice = "largest",
    *,
    source: Source = "separate split",
    drawn_from: int | None = None,
) -> metrics.ThresholdChoice:
    """For each of `IOUS` the cut at which most of ``places`` are found; fixed ones without places.

    Args:
        places: Maps with boxes, which the choice may use, or None for no boxes at all.
        components: As in `metrics.max_box_acc`.
        source: For the words, as in `metrics.choose_thresholds`.
        drawn_from: As in `metrics.choose_from_overlaps`.
    """
    if places is None:
        return metrics.fixed_threshold(ious=IOUS)
    return metrics.choose_from_overlaps(
        _overlaps(places, THRESHOLDS, components),
        THRESHOLDS,
        images=len(np.unique(places.images)),
        source=source,
        drawn_from=drawn_from,
        seed=SEED,
        ious=IOUS,
    )


@dataclass(frozen=True)
class Localisation:
    """What was found.

    Attributes:
        scores: MaxBoxAcc per IoU (largest component), MaxBoxAccV2 (any component, mean over the
            IoUs), CorLoc (the box for IoU 0.5, mean over the classes) and pointing; each beside the
            same score of the best centred box and of random maps.
        intervals: 95 % bootstrap intervals of some of them.
        ious: For each of the places, the IoU of its box at the threshold for IoU 0.5.
        settings: How, in words.
    """

    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    ious: Floats
    settings: dict[str, str]


def score_localisation(
    places: Places, others: Places | None, supervision: Supervision
) -> Localisation:
    """Score the maps of a split at thresholds that were chosen as ``supervision`` says.

    Args:
        places: What is scored.
        others: Of the samples of ``supervision``; where it is None or empty, the thresholds are
            chosen on ``places``, and the settings say so.
        supervision: Whose boxes are used; without any no other box than the scored ones is looked
            at, and these for scoring only.
    """
    drawn_from, source = supervision.drawn_from, supervision.source
    if others is None or not others.rows:
        others, drawn_from = places, None
        source = "scored images" if source else None

    def choose(kind: Kind, components: Choice) -> metrics.ThresholdChoice:
        if source is None:
            return choose_cuts(None)
        return choose_cuts(kind(others), components, source=source, drawn_from=drawn_from)

    chosen = choose(_themselves, "largest")
    ious = _overlaps(places, [chosen.thresholds[SCORED_IOU]], "largest")[:, 0]
    scores = _scores(places, chosen, choose(_themselves, "all"))
    for name, kind in BASELINES.items():
        compared = _scores(kind(places), choose(kind, "largest"), choose(kind, "all"))
        scores |= {f"{score} {name}": value for score, value in compared.items()}
    name = f"MaxBoxAcc@{SCORED_IOU}"
    return Localisation(
        scores,
        {name: metrics.bootstrap_interval(ious >= SCORED_IOU)},
        ious,
        {
            SUPERVISION: chosen.supervision,
            "thresholds": ", ".join(
                f"{tau:.2f} for IoU {iou}" for iou, tau in chosen.thresholds.items()
            ),
            "baselines": f"the centre box, and random maps (seed {RANDOM_SEED}), their thresholds "
            f"{'chosen on the same boxes' if source else 'fixed alike'}",
            "boxes": f"{len(places.rows)} maps beside true boxes, which never reach the training",
        },
    )


def _scores(
    places: Places, largest: metrics.ThresholdChoice, every: metrics.ThresholdChoice
) -> dict[str, float]:
    levels = np.array(IOUS)
    hits = _overlaps(places, list(largest.thresholds.values()), "largest") >= levels
    any_hits = _overlaps(places, list(every.thresholds.values()), "all") >= levels
    scores = {
        f"MaxBoxAcc@{iou}": float(column.mean()) for iou, column in zip(IOUS, hits.T, strict=True)
    }
    scores["MaxBoxAccV2"] = float(any_hits.mean())
    scores["CorLoc"] = class_mean(hits[:, IOUS.index(SCORED_IOU)], places.classes)
    pointed = [metrics.pointing_hits(maps, boxes) for maps, boxes in places.chunks()]
    scores["pointing"] = float(np.concatenate(pointed).mean())
    return scores


def _overlaps(places: Places, thresholds: Sequence[float] | Floats, components: Choice) -> Floats:
    """(N, T) best IoU of each map at each threshold."""
    return np.concatenate(
        [
            metrics.box_overlaps(maps, boxes, components, "corrected", thresholds)
            for maps, boxes in places.chunks()
        ]
    )


def _themselves(places: Places) -> Places:
    return places


def centred(places: Places) -> Places:
    """The same boxes beside centred maps; their thresholds choose the share of the centre box."""
    height, width = places.grid
    return replace(places, maps=metrics.centre_maps(len(places.rows), (width, height)))


def at_random(places: Places) -> Places:
    """The same boxes beside random maps of the same resolution."""
    count, height, width = places.maps.shape
    return replace(places, maps=metrics.random_maps(count, (width, height), RANDOM_SEED))


BASELINES: dict[str, Kind] = {"centre box": centred, "random map": at_random}
