"""Scores of maps beside true boxes, by hand on maps that are their boxes."""

import numpy as np
import pytest

from lookcloser import metrics
from lookcloser.core.types import SUPERVISION
from lookcloser.recognizer.localisation import (
    THRESHOLDS,
    at_random,
    centred,
    choose_cuts,
    find_places,
    score_localisation,
)
from lookcloser.recognizer.supervision import Supervision

OWN = Supervision("scored images")
GRID = (24, 32)


def places(count=12, seed=0, classes=None, noise=0.1):
    """Maps (12, 16) that are 1 in their box and noise elsewhere; class 1 looks into a corner."""
    rng = np.random.default_rng(seed)
    maps, boxes = [], []
    for _ in range(count):
        x, y = rng.integers(0, 8, 2)
        y = min(y, 4)
        array = noise * rng.random((12, 16))
        array[y : y + 8, x : x + 8] = 1
        maps.append(array)
        boxes.append([(4.0 * x, 2.0 * y, 4.0 * x + 32, 2.0 * y + 16)])
    classes = [0] * count if classes is None else classes
    for row, index in enumerate(classes):
        if index == 1:
            maps[row] = np.zeros((12, 16))
            maps[row][11, 15] = 1
    return find_places(np.array(maps, np.float32), boxes, [(64, 24)] * count, GRID, classes)


def test_images_without_boxes_are_left_out_and_the_rest_keep_theirs():
    found = find_places(
        np.zeros((3, 2, 2), np.float32),
        [[(0, 0, 4, 4)], [], [(2, 0, 4, 2)]],
        [(8, 8)] * 3,
        (16, 16),
        classes=[5, 6, 7],
        images=[1, 1, 2],
    )
    assert found.rows == (0, 2)
    assert found.images.tolist() == [1, 2]
    assert found.classes.tolist() == [5, 7]
    assert found.boxes[1].tolist() == [[4, 0, 8, 4]]


def test_every_score_has_its_baselines():
    found = score_localisation(places(), None, OWN).scores
    plain = {name for name in found if "centre" not in name and "random" not in name}
    assert plain == {"MaxBoxAcc@0.3", "MaxBoxAcc@0.5", "MaxBoxAcc@0.7", "MaxBoxAccV2", "CorLoc",
                     "pointing"}  # fmt: skip
    for base in ("centre box", "random map"):
        assert {f"{name} {base}" for name in plain} <= set(found)
    assert found["MaxBoxAcc@0.7"] == found["CorLoc"] == found["pointing"] == 1
    assert found["MaxBoxAcc@0.7 random map"] < 0.5
    assert found["pointing random map"] < 1
    assert score_localisation(places(), None, OWN).scores == found, "the random maps are seeded"


def test_corloc_counts_every_class_alike():
    found = score_localisation(places(12, classes=[0] * 9 + [1] * 3), None, OWN)
    hits = found.ious >= 0.5
    assert hits[:9].all()
    assert not hits[9:].any()
    assert found.scores["MaxBoxAcc@0.5"] == pytest.approx(0.75)
    assert found.scores["CorLoc"] == pytest.approx(0.5)


def test_corloc_is_that_of_the_boxes():
    own = places(30, noise=0.9, classes=[0] * 20 + [1] * 10)
    found = score_localisation(own, None, OWN)
    level = choose_cuts(own, source="scored images").thresholds[0.5]
    large = metrics.upsample_maps(own.maps, GRID[::-1])
    boxes = [_box(array, level) for array in large]
    assert found.scores["CorLoc"] == pytest.approx(metrics.corloc(boxes, own.boxes, own.classes))


def _box(array, level):
    """The box of the largest part above a level between minimum and maximum, in whole steps."""
    from scipy import ndimage

    low, high = array.min(), array.max()
    kept = np.floor((array - low) / (high - low) * 255) > int(level * 255)
    labels, _ = ndimage.label(kept, np.ones((3, 3)))
    largest = np.bincount(labels.ravel())[1:].argmax() + 1
    rows, columns = np.nonzero(labels == largest)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_thresholds_follow_the_one_rule():
    own = places(20, noise=0.6)
    large = metrics.upsample_maps(own.maps, GRID[::-1])
    for components in ("largest", "all"):
        found = choose_cuts(own, components)
        expected = metrics.choose_thresholds(
            large, own.boxes, components=components, thresholds=THRESHOLDS
        )
        assert found == expected


def test_the_words_say_what_was_used():
    def said(others, supervision):
        return score_localisation(places(), others, supervision).settings[SUPERVISION]

    other = places(5, seed=1)
    assert said(None, OWN) == "boxes of 12 images of the scored images themselves (optimistic)"
    separate = "boxes of 5 images of a separate split"
    assert said(other, Supervision("separate split")) == separate
    few = "boxes of 5 images, drawn from 40 (seed 0), of a separate split"
    assert said(other, Supervision("separate split", (), 40)) == few
    assert said(None, Supervision(None)) == "no boxes: a fixed 0.2 of each map's range"


def test_without_boxes_thresholds_do_not_depend_on_them():
    own = places()
    found = score_localisation(own, None, Supervision(None))
    large = metrics.upsample_maps(own.maps, GRID[::-1])
    overlaps = metrics.box_overlaps(large, own.boxes, "largest", "corrected", [0.2])[:, 0]
    np.testing.assert_allclose(found.ious, overlaps)
    assert "fixed alike" in found.settings["baselines"]


def test_several_maps_of_an_image_are_boxes_of_one():
    own = places(6)
    shared = find_places(
        own.maps, [[(0, 0, 9, 9)]] * 6, [(64, 24)] * 6, GRID, [0] * 6, [0, 0, 1, 1, 2, 2]
    )
    assert choose_cuts(shared).images == 3


def test_baselines_have_the_boxes_of_the_maps():
    own = places(3)
    assert at_random(own).maps.shape == own.maps.shape
    assert centred(own).maps.shape == (3, *GRID)
    assert at_random(own).boxes is centred(own).boxes is own.boxes
