"""How well the maps of the true class find the true boxes, with thresholds chosen elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core import boxes as geometry
from lookcloser.core.boxes import Boxes
from lookcloser.core.types import SUPERVISION, Box
from lookcloser.evaluation.threshold_source import SEED, Supervision
from lookcloser.metrics.class_localization import class_mean
from lookcloser.metrics.maps import normalise
from lookcloser.metrics.thresholds import SCORED_IOU, THRESHOLDS, Source
from lookcloser.runtime.regions import Size, upsample

Floats = NDArray[np.float64]

IOUS = (0.3, 0.5, 0.7)
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


@dataclass(frozen=True)
class Measured:
    """What one pass over some maps finds; enough for every choice of thresholds.

    Attributes:
        largest: (N, T) IoU of the box of the largest component at each of `THRESHOLDS`.
        every: (N, T) the best IoU of all components.
        pointed: (N,) whether the maximum lies in a true box.
    """

    largest: Floats
    every: Floats
    pointed: NDArray[np.bool_]


def measure(places: Places) -> Measured:
    """The maps beside their boxes."""
    parts = [
        (
            metrics.box_overlaps(maps, boxes, "largest", "corrected", THRESHOLDS),
            metrics.box_overlaps(maps, boxes, "all", "corrected", THRESHOLDS),
            metrics.pointing_hits(maps, boxes),
        )
        for maps, boxes in places.chunks()
    ]
    return Measured(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def measure_centre(places: Places) -> Measured:
    """Centred maps beside the same boxes; the threshold chooses the share of the centre box.

    They are all the same, and have one component, so that one box a threshold stands for all.
    """
    height, width = places.grid
    maps = metrics.centre_maps(1, (width, height))
    levels = (normalise(maps)[0] * 255).astype(np.uint8)
    found = [_bounds(levels > int(level * 255)) for level in THRESHOLDS]
    overlaps = np.stack([geometry.iou(boxes, found).max(axis=0) for boxes in places.boxes])
    pointed = [metrics.pointing_hits(maps, [boxes])[0] for boxes in places.boxes]
    return Measured(overlaps, overlaps, np.array(pointed))


def measure_noise(places: Places) -> Measured:
    """Random maps of the same resolution beside the same boxes."""
    count, height, width = places.maps.shape
    noise = metrics.random_maps(count, (width, height), RANDOM_SEED)
    return measure(replace(places, maps=noise))


def best_cut(places: Places) -> float:
    """The cut at which most of ``places``, boxes of a separate split, are found at IoU 0.5."""
    return _choose(places, measure(places).largest, "separate split").thresholds[SCORED_IOU]


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
    scores: dict[str, float] = {}
    own: list[tuple[Floats, metrics.ThresholdChoice]] = []
    for suffix, kind in KINDS.items():
        scored = kind(places)
        seen = scored if others is places or source is None else kind(others)
        largest, every = (
            _choose(others, overlaps, source, drawn_from) for overlaps in (seen.largest, seen.every)
        )
        found = _at(scored.largest, largest)
        named = _scores(found, _at(scored.every, every), scored.pointed, places.classes)
        scores |= {f"{name}{suffix}": value for name, value in named.items()}
        own.append((found[:, IOUS.index(SCORED_IOU)], largest))
    ious, chosen = own[0]
    return Localisation(
        scores,
        {f"MaxBoxAcc@{SCORED_IOU}": metrics.bootstrap_interval(ious >= SCORED_IOU)},
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


KINDS: dict[str, Callable[[Places], Measured]] = {
    "": measure,
    " centre box": measure_centre,
    " random map": measure_noise,
}


def _choose(
    places: Places, overlaps: Floats, source: Source | None, drawn_from: int | None = None
) -> metrics.ThresholdChoice:
    """The best of `THRESHOLDS` for each of `IOUS`; without a source the fixed one."""
    if source is None:
        return metrics.fixed_threshold(ious=IOUS)
    return metrics.choose_from_overlaps(
        overlaps,
        THRESHOLDS,
        images=len(np.unique(places.images)),
        source=source,
        drawn_from=drawn_from,
        seed=SEED,
        ious=IOUS,
    )


def _at(overlaps: Floats, choice: metrics.ThresholdChoice) -> Floats:
    """(N, T) -> (N, 3), at the threshold of each of `IOUS`."""
    columns = [int(np.abs(THRESHOLDS - choice.thresholds[iou]).argmin()) for iou in IOUS]
    return overlaps[:, columns]


def _scores(
    largest: Floats, every: Floats, pointed: NDArray[np.bool_], classes: NDArray[np.int64]
) -> dict[str, float]:
    hits = largest >= np.array(IOUS)
    scores = {
        f"MaxBoxAcc@{iou}": float(column.mean()) for iou, column in zip(IOUS, hits.T, strict=True)
    }
    scores["MaxBoxAccV2"] = float((every >= np.array(IOUS)).mean())
    scores["CorLoc"] = class_mean(hits[:, IOUS.index(SCORED_IOU)], classes)
    scores["pointing"] = float(pointed.mean())
    return scores


def _bounds(kept: NDArray[np.bool_]) -> Box:
    """The box around the true cells of (H, W), of which there are some."""
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
