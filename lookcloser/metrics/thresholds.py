"""At which share of a map's range boxes are cut, and how much supervision that choice has used.

A score at the threshold that suits the scored images best has seen their boxes, and so has one
whose threshold comes from another split with boxes: training stayed weak, choosing did not. What is
returned here says in words what was used, to be shown beside the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError
from lookcloser.core.errors import unknown
from lookcloser.metrics.level_sets.overlaps import Choice, Mode
from lookcloser.metrics.localization import IOUS, TrueBoxes, box_overlaps
from lookcloser.metrics.maps import as_maps

Source = Literal["separate split", "scored images"]

FIXED_SHARE = 0.2
# What is chosen from, and at which overlap a box counts as found.
THRESHOLDS = np.arange(0.01, 1.0, 0.01)
SCORED_IOU = 0.5
_WORDS: dict[Source, str] = {
    "separate split": "a separate split",
    "scored images": "the scored images themselves (optimistic)",
}


class ThresholdChoice(NamedTuple):
    """Thresholds with their price.

    Attributes:
        thresholds: For each IoU the share of a map's range; `box_acc_at` takes them.
        images: How many images with boxes were used.
        supervision: The same in words.
    """

    thresholds: dict[float, float]
    images: int
    supervision: str


def fixed_threshold(share: float = FIXED_SHARE, ious: Sequence[float] = IOUS) -> ThresholdChoice:
    """No box is used: one share for all, by default the 20 % of the CAM paper (section 3.2).

    Args:
        share: Of a map's range, in [0, 1). For maps that reach down to 0, such as heatmaps, this is
            the share of the maximum which the paper means.
        ious: For which overlaps.

    Raises:
        LookcloserError: For a share outside of [0, 1).
    """
    if not 0 <= share < 1:
        raise LookcloserError(f"share = {share}", allowed="From 0 on, below 1")
    words = f"no boxes: a fixed {share:.3g} of each map's range"
    return ThresholdChoice(dict.fromkeys(map(float, ious), share), 0, words)


def choose_thresholds(
    maps: ArrayLike,
    boxes: TrueBoxes,
    *,
    source: Source = "separate split",
    few: int | None = None,
    seed: int = 0,
    ious: Sequence[float] = IOUS,
    components: Choice = "all",
    mode: Mode = "corrected",
    thresholds: ArrayLike | None = None,
) -> ThresholdChoice:
    """For each IoU the threshold at which most images are found.

    Of thresholds that find equally many, which a few images leave plenty of, the one with the
    highest mean IoU is taken, and of these the lowest.

    Args:
        maps: (N, h, w) of images with boxes.
        boxes: As in `max_box_acc`.
        source: Whose images these are: a "separate split", or the "scored images" themselves, which
            makes the score optimistic, and the words say so.
        few: Use the boxes of so many images, drawn at random; by default of all.
        seed: For the drawing.
        ious: As in `max_box_acc`.
        components: As in `max_box_acc`.
        mode: As in `max_box_acc`.
        thresholds: To choose from; as in `max_box_acc`.

    Raises:
        LookcloserError: For an unknown source, ``few`` below 1 or above N, or as `max_box_acc`.
    """
    array = as_maps(maps)
    count = len(array) if few is None else few
    if not 1 <= count <= len(array):
        raise LookcloserError(f"few = {few}", allowed=f"1 … {len(array)}, the maps given")
    levels = np.arange(0, 1, 0.001) if thresholds is None else np.asarray(thresholds, dtype=float)
    drawn = np.arange(len(array)) if few is None else draw(len(array), few, seed)
    each = list(boxes)  # type: ignore[arg-type]
    chosen = [each[i] for i in drawn]
    return choose_from_overlaps(
        box_overlaps(array[drawn], chosen, components, mode, levels),
        levels,
        source=source,
        images=count,
        drawn_from=None if few is None else len(array),
        seed=seed,
        ious=ious,
    )


def choose_from_overlaps(
    overlaps: ArrayLike,
    thresholds: ArrayLike,
    *,
    images: int,
    source: Source = "separate split",
    drawn_from: int | None = None,
    seed: int = 0,
    ious: Sequence[float] = IOUS,
) -> ThresholdChoice:
    """As `choose_thresholds`, from overlaps that are known already.

    Args:
        overlaps: (N, T) the best IoU of each map at each threshold, as `box_overlaps` gives it.
        thresholds: (T,)
        images: How many images the maps are of, for the words.
        source: As in `choose_thresholds`.
        drawn_from: Of how many images these are a draw, as `draw` makes it; None for all.
        seed: Of the draw, for the words.
        ious: As in `max_box_acc`.

    Raises:
        LookcloserError: For an unknown source.
    """
    array = np.asarray(overlaps, dtype=np.float64)
    return choose_from_counts(
        [(array >= iou).sum(axis=0) for iou in ious],
        array.mean(axis=0),
        thresholds,
        images=images,
        source=source,
        drawn_from=drawn_from,
        seed=seed,
        ious=ious,
    )


def choose_from_counts(
    found: ArrayLike,
    means: ArrayLike,
    thresholds: ArrayLike,
    *,
    images: int,
    source: Source = "separate split",
    drawn_from: int | None = None,
    seed: int = 0,
    ious: Sequence[float] = IOUS,
) -> ThresholdChoice:
    """As `choose_from_overlaps`, where the overlaps are counted already.

    Args:
        found: (I, T) how many maps reach each of ``ious`` at each threshold.
        means: (T,) the mean IoU at each.
        thresholds: As in `choose_from_overlaps`, like the rest.
        images: As there.
        source: As there.
        drawn_from: As there.
        seed: As there.
        ious: As there.

    Raises:
        LookcloserError: For an unknown source.
    """
    if source not in get_args(Source):
        raise unknown(source, "source", get_args(Source))
    levels = np.asarray(thresholds, dtype=np.float64)
    counts = np.asarray(found)
    best = {
        float(iou): float(levels[best_level(row, means)])
        for iou, row in zip(ious, counts, strict=True)
    }
    words = f"boxes of {images} images"
    if drawn_from is not None:
        words += f", drawn from {drawn_from} (seed {seed}),"
    return ThresholdChoice(best, images, f"{words} of {_WORDS[source]}")


def draw(count: int, few: int, seed: int = 0) -> NDArray[np.int64]:
    """The rows (few,) of ``few`` of ``count`` images, ascending, the same for a seed."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:few])


def best_level(found: ArrayLike, means: ArrayLike) -> int:
    """Which of some thresholds is best: the one rule of all choices.

    Args:
        found: (T,) how many images are found at each; weights may make it a fraction.
        means: (T,) the mean IoU at each.

    Returns:
        The index of the one that finds most, of equals that of the highest mean IoU, of these the
        lowest.
    """
    counts = np.asarray(found, dtype=np.float64)
    # Sums of weights in another order differ in their last digits.
    equal = counts >= counts.max() - 1e-9
    return int(np.where(equal, means, -np.inf).argmax())
