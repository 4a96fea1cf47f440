"""Thresholds by trying them all, and the words for what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lookcloser.core import LookcloserError
from lookcloser.metrics.localization import box_acc_at, box_overlaps, max_box_acc
from lookcloser.metrics.thresholds import (
    best_level,
    choose_from_overlaps,
    choose_thresholds,
    draw,
    fixed_threshold,
)

LEVELS = np.arange(0, 1, 0.02)


def data(count=40, seed=0, noise=1):
    """Blobs with boxes around them, wider or narrower."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :30]
    maps, boxes = [], []
    for _ in range(count):
        cx, cy, wide, high = rng.uniform((8, 8, 3, 3), (22, 16, 7, 7))
        maps.append(np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2))
        share = rng.uniform(0.7, 1.3)
        boxes.append([cx - wide * share, cy - high * share, cx + wide * share, cy + high * share])
    grain = ndimage.gaussian_filter(rng.standard_normal((count, 24, 30)), (0, 2, 2))
    return np.array(maps) + noise * grain, np.array(boxes)


def chosen_slowly(maps, boxes, iou, components):
    """The best threshold by accuracy, then by mean IoU, one after the other."""
    best = (-1.0, -1.0, 0.0)
    for level in LEVELS:
        overlaps = box_overlaps(maps, boxes, components, "corrected", [level])
        score = (float((overlaps >= iou).mean()), float(overlaps.mean()))
        if score > best[:2]:
            best = (*score, level)
    return best[2]


@pytest.mark.parametrize("components", ["all", "largest"])
def test_all_thresholds_are_tried(components):
    maps, boxes = data()
    found = choose_thresholds(maps, boxes, components=components, thresholds=LEVELS)
    for iou in (0.3, 0.5, 0.7):
        assert found.thresholds[iou] == chosen_slowly(maps, boxes, iou, components)
    at = box_acc_at(maps, boxes, found.thresholds, components, "corrected")
    best = max_box_acc(maps, boxes, components=components, mode="corrected", thresholds=LEVELS)
    assert list(at.values()) == list(best.values())


def test_of_equals_the_best_fit_is_taken():
    """One image is found at many thresholds: not the first of them is the one to keep."""
    maps, boxes = data(1)
    chosen = choose_thresholds(maps, boxes, ious=[0.3], thresholds=LEVELS).thresholds[0.3]
    overlaps = box_overlaps(maps, boxes, mode="corrected", thresholds=LEVELS)[0]
    assert chosen == LEVELS[overlaps.argmax()]
    assert chosen > LEVELS[(overlaps >= 0.3).argmax()]


def test_a_few_boxes():
    maps, boxes = data(60)
    few = choose_thresholds(maps, boxes, few=5, seed=3, thresholds=LEVELS)
    drawn = np.sort(np.random.default_rng(3).permutation(60)[:5])
    alone = choose_thresholds(maps[drawn], boxes[drawn], thresholds=LEVELS)
    assert few.thresholds == alone.thresholds
    as_lists = choose_thresholds(maps, [box[None] for box in boxes], few=5, seed=3)
    assert as_lists.images == 5
    assert few.thresholds != choose_thresholds(maps, boxes, thresholds=LEVELS).thresholds


def test_the_words_say_what_was_used():
    maps, boxes = data(12)

    def words(**options):
        return choose_thresholds(maps, boxes, thresholds=[0.2, 0.5], **options).supervision

    assert words() == "boxes of 12 images of a separate split"
    assert words(few=4, seed=2) == (
        "boxes of 4 images, drawn from 12 (seed 2), of a separate split"
    )
    assert words(source="scored images") == (
        "boxes of 12 images of the scored images themselves (optimistic)"
    )
    fixed = fixed_threshold()
    assert fixed.supervision == "no boxes: a fixed 0.2 of each map's range"
    assert fixed.images == 0
    assert fixed.thresholds == {0.3: 0.2, 0.5: 0.2, 0.7: 0.2}
    # The blobs alone reach down to 0, and are about as wide as their boxes at a fifth.
    blobs, true = data(12, noise=0)
    assert box_acc_at(blobs, true, fixed.thresholds, mode="corrected")["BoxAcc@0.3"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "val"}, "val: unknown source"),
        ({"few": 0}, "few = 0"),
        ({"few": 13}, "1 … 12, the maps given"),
        ({"mode": "fixed"}, "unknown mode"),
    ],
)
def test_errors_name_the_fault(options, message):
    with pytest.raises(LookcloserError, match=message):
        choose_thresholds(*data(12), **options)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_fixed_shares_are_checked(share):
    with pytest.raises(LookcloserError, match="share = "):
        fixed_threshold(share)


def test_the_one_rule():
    assert best_level([1, 3, 3, 2], [0.9, 0.4, 0.5, 0.9]) == 2, "most found, then the best fit"
    assert best_level([3, 3], [0.5, 0.5]) == 0, "then the lowest"
    assert best_level([0.1 + 0.2, 0.3], [0.4, 0.5]) == 1, "rounding of weights makes no difference"


def test_known_overlaps_give_the_same_choice():
    maps, boxes = data()
    overlaps = box_overlaps(maps, boxes, "all", "corrected", LEVELS)
    found = choose_from_overlaps(overlaps, LEVELS, images=len(maps))
    assert found == choose_thresholds(maps, boxes, thresholds=LEVELS)
    rows = draw(len(maps), 7, 4)
    few = choose_from_overlaps(overlaps[rows], LEVELS, images=7, drawn_from=len(maps), seed=4)
    assert few == choose_thresholds(maps, boxes, few=7, seed=4, thresholds=LEVELS)
