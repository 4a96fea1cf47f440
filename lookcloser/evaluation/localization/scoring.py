"""How well the maps of the true class find the true boxes, with thresholds chosen elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core.choices import BoxRule
from lookcloser.core.results.scores import BASELINES, CENTER_BOX, RANDOM_MAP, Score
from lookcloser.core.types import SUPERVISION
from lookcloser.evaluation.localization.map_boxes import (
    RANDOM_SEED,
    Measured,
    Places,
    measure,
    measure_center,
)
from lookcloser.evaluation.threshold_source import SEED, Supervision
from lookcloser.metrics.thresholds import SCORED_IOU, THRESHOLDS, Source

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]

IOUS = (0.3, 0.5, 0.7)
OWN = "map"
_SHARE_OF: dict[BoxRule, str] = {
    "max": "a map's maximum",
    "range": "a map's range, from its minimum to its maximum",
}


class Found:
    """What maps of one kind find of true boxes: counts at each of `THRESHOLDS`, no map.

    Args:
        classes: How many classes there are.
    """

    def __init__(self, classes: int) -> None:
        self.count = self.pointed = 0
        shape = (len(IOUS), len(THRESHOLDS))
        self._largest, self._every = _Counts(shape), _Counts(shape)
        self._of_class = np.zeros((classes, len(THRESHOLDS)), dtype=np.int64)
        self._in_class = np.zeros(classes, dtype=np.int64)

    def add(self, measured: Measured, classes: NDArray[np.int64]) -> None:
        """Count some maps, whose classes are (B,)."""
        self.count += len(classes)
        self.pointed += int(measured.pointed.sum())
        self._largest.add(measured.largest)
        self._every.add(measured.every)
        np.add.at(self._of_class, classes, measured.largest >= SCORED_IOU)
        np.add.at(self._in_class, classes, 1)

    def choose(
        self, source: Source | None, images: int, drawn_from: int | None = None
    ) -> tuple[metrics.ThresholdChoice, metrics.ThresholdChoice]:
        """The best of `THRESHOLDS` for the largest component and for all; fixed without source."""
        if source is None:
            return metrics.fixed_threshold(ious=IOUS), metrics.fixed_threshold(ious=IOUS)
        largest, every = (
            metrics.choose_from_counts(
                counts.hits, counts.total / self.count, THRESHOLDS, images=images, source=source,
                drawn_from=drawn_from, seed=SEED, ious=IOUS,
            )
            for counts in (self._largest, self._every)
        )  # fmt: skip
        return largest, every

    def values(
        self, largest: metrics.ThresholdChoice, every: metrics.ThresholdChoice
    ) -> dict[str, float]:
        """The scores at the thresholds chosen."""
        rows = np.arange(len(IOUS))
        hits = self._largest.hits[rows, levels_of(largest)]
        seen = self._in_class > 0
        of_class = self._of_class[seen, level_of(largest)] / self._in_class[seen]
        return {
            **{f"MaxBoxAcc@{iou}": hit / self.count for iou, hit in zip(IOUS, hits.tolist(),
                                                                       strict=True)},
            "MaxBoxAccV2": float(self._every.hits[rows, levels_of(every)].sum())
            / (self.count * len(IOUS)),
            "CorLoc": float(np.mean(of_class)),
            "pointing": self.pointed / self.count,
        }  # fmt: skip


class _Counts:
    """Of IoUs that come in batches: how many are high enough, and their sum."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.hits = np.zeros(shape, dtype=np.int64)
        self.total = np.zeros(shape[1])

    def add(self, overlaps: Floats) -> None:
        self.hits += np.stack([(overlaps >= iou).sum(axis=0) for iou in IOUS])
        # One by one, so that the sum does not depend on the size of the batches.
        self.total = np.add.reduce(np.concatenate([self.total[None], overlaps]), axis=0)


class BoxTally:
    """Maps beside true boxes that come batch by batch, and the same boxes beside two guesses.

    Args:
        classes: How many classes there are.
        levels: Which of `THRESHOLDS` the IoU of each map is remembered at; None remembers none.
    """

    def __init__(self, classes: int, levels: Levels | None = None) -> None:
        self.kinds = {kind: Found(classes) for kind in (OWN, *BASELINES)}
        self.images = 0
        self.rule: BoxRule = "range"
        self._levels = np.zeros(0, dtype=np.int64) if levels is None else levels
        self._ious: list[NDArray[np.float32]] = []
        self._of: list[NDArray[np.int64]] = []
        self._noise = np.random.default_rng(RANDOM_SEED)

    @property
    def count(self) -> int:
        """How many maps there were."""
        return self.kinds[OWN].count

    def add(self, places: Places) -> NDArray[np.float32]:
        """Count some maps; returns (B, L), the IoU of each at the levels remembered."""
        self.rule = places.rule
        if not len(places.maps):
            return np.zeros((0, len(self._levels)), np.float32)
        noise = self._noise.random(places.maps.shape, dtype=np.float32)
        own = measure(places)
        self.kinds[OWN].add(own, places.classes)
        self.kinds[CENTER_BOX].add(measure_center(places), places.classes)
        self.kinds[RANDOM_MAP].add(measure(places._replace(maps=noise)), places.classes)
        self.images += len(np.unique(places.images))
        ious = _not_above(own.largest[:, self._levels])
        self._ious.append(ious)
        self._of.append(places.images)
        return ious

    def ious(self, level: int) -> Floats:
        """The IoU of each map so far, at one of the levels remembered."""
        (column,) = np.flatnonzero(self._levels == level)
        return np.concatenate([ious[:, column] for ious in self._ious]).astype(np.float64)

    def of_images(self, level: int, count: int) -> Floats:
        """(count,) the mean IoU of the maps of each image, NaN where it has none."""
        if not self.count:
            return np.full(count, np.nan)
        return image_means(self.ious(level), np.concatenate(self._of), count)


def image_means(ious: NDArray[np.floating], images: NDArray[np.int64], count: int) -> Floats:
    """(count,) or (count, L): means of the values (N,) or (N, L) of each image, NaN without any."""
    sums = np.zeros((count, *ious.shape[1:]))
    np.add.at(sums, images, ious)
    many = np.bincount(images, minlength=count).reshape(-1, *[1] * (ious.ndim - 1))
    return np.divide(sums, many, out=np.full_like(sums, np.nan), where=many > 0)


def best_cut(places: Iterable[Places], classes: int) -> float | None:
    """The cut at which most boxes of a separate split are found at IoU 0.5; None without boxes."""
    found, images = Found(classes), 0
    for some in places:
        if len(some.maps):
            found.add(measure(some), some.classes)
            images += len(np.unique(some.images))
    return found.choose("separate split", images)[0].thresholds[SCORED_IOU] if images else None


def level_of(choice: metrics.ThresholdChoice, iou: float = SCORED_IOU) -> int:
    """Which of `THRESHOLDS` was chosen for an IoU."""
    return int(np.abs(THRESHOLDS - choice.thresholds[iou]).argmin())


def levels_of(choice: metrics.ThresholdChoice) -> Levels:
    """(3,) which of `THRESHOLDS` was chosen for each of `IOUS`."""
    return np.array([level_of(choice, iou) for iou in IOUS])


@dataclass(frozen=True)
class Thresholds:
    """Whose boxes an evaluation chooses its thresholds on, and what is known of them beforehand.

    Attributes:
        supervision: What was asked for.
        others: The maps of its samples; None where the scored images themselves are used, or no
            box.
    """

    supervision: Supervision
    others: BoxTally | None

    @classmethod
    def of(cls, supervision: Supervision, places: Iterable[Places], classes: int) -> Thresholds:
        """From the maps of the samples of ``supervision``, of which there may be none."""
        others = BoxTally(classes)
        for some in places:
            others.add(some)
        return cls(supervision, others if others.count else None)

    @property
    def source(self) -> Source | None:
        """Whose boxes are used in the end."""
        if self.others is None and self.supervision.source:
            return "scored images"
        return self.supervision.source

    @property
    def levels(self) -> Levels:
        """At which thresholds the scored maps need be remembered: all, or the one that is known."""
        if self.source and self.others is None:
            return np.arange(len(THRESHOLDS))
        known = self.others or BoxTally(1)
        return np.array([level_of(self._choose(known, OWN)[0])])

    def column(self, level: int) -> int:
        """Which of `levels` one is."""
        return int(np.flatnonzero(self.levels == level)[0])

    def choose(
        self, scored: BoxTally, kind: str
    ) -> tuple[metrics.ThresholdChoice, metrics.ThresholdChoice]:
        """The thresholds of one kind of maps, for the largest component and for all."""
        return self._choose(self.others or scored, kind)

    def _choose(
        self, tally: BoxTally, kind: str
    ) -> tuple[metrics.ThresholdChoice, metrics.ThresholdChoice]:
        drawn_from = None if self.others is None else self.supervision.drawn_from
        return tally.kinds[kind].choose(self.source, tally.images, drawn_from)


def score_boxes(
    tally: BoxTally, thresholds: Thresholds
) -> tuple[tuple[Score, ...], int, dict[str, str]]:
    """What the maps of a split find.

    Returns:
        MaxBoxAcc per IoU (largest component), MaxBoxAccV2 (any component, mean over the IoUs),
        CorLoc (the box for IoU 0.5, mean over the classes) and pointing, each beside the same score
        of the best centered box and of random maps; at which of `THRESHOLDS` a map is cut for IoU
        0.5; and how, in words.
    """
    chosen = {kind: thresholds.choose(tally, kind) for kind in tally.kinds}
    values = {kind: tally.kinds[kind].values(*chosen[kind]) for kind in tally.kinds}
    largest, _ = chosen[OWN]
    level = level_of(largest)
    interval = metrics.bootstrap_interval(tally.ious(level) >= SCORED_IOU)
    scores = tuple(
        Score(
            name, value, interval if name == f"MaxBoxAcc@{SCORED_IOU}" else None,
            {base: values[base][name] for base in BASELINES},
            higher_is_better=True, of_evidence=True,
        )
        for name, value in values[OWN].items()
    )  # fmt: skip
    settings = {
        SUPERVISION: largest.supervision,
        "thresholds": ", ".join(
            f"{tau:.2f} for IoU {iou}" for iou, tau in largest.thresholds.items()
        )
        + f", shares of {_SHARE_OF[tally.rule]}",
        "baselines": f"the center box, and random maps (seed {RANDOM_SEED}), their thresholds "
        f"{'chosen on the same boxes' if thresholds.source else 'fixed alike'}",
        "boxes": f"{tally.count} maps beside true boxes, which never reach the training",
    }
    return scores, level, settings


def score_top_k(hits: Sequence[tuple[int, NDArray[np.bool_]]], ious: Floats) -> tuple[Score, ...]:
    """Right class and its box in place ("top1_loc" and its like), of the images with boxes.

    Args:
        hits: (k, (N,)) whether the true class is among the k best.
        ious: (N,) at the threshold for IoU 0.5, NaN where an image has no box.
    """
    boxed = ~np.isnan(ious)
    placed = ious[boxed] >= SCORED_IOU
    return tuple(
        Score(
            f"top{k}_loc", float((hit[boxed] & placed).mean()), higher_is_better=True,
            of_evidence=True,
        )
        for k, hit in hits
    )  # fmt: skip


def _not_above(values: Floats) -> NDArray[np.float32]:
    """As float32, rounded down, so that none reaches 0.5 that did not."""
    small = values.astype(np.float32)
    return np.where(small > values, np.nextafter(small, np.float32(-1)), small)
