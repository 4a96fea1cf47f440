"""Scores of maps beside true boxes, by hand on maps that are their boxes."""

from dataclasses import replace

import numpy as np
import pytest

from lookcloser import metrics
from lookcloser.core.types import SUPERVISION
from lookcloser.evaluation.localization import (
    best_cut,
    find_places,
    measure,
    measure_centre,
    measure_noise,
    score_localisation,
)
from lookcloser.evaluation.threshold_source import Supervision
from lookcloser.metrics.thresholds import THRESHOLDS

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
    level = best_cut(own)
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
    scores = score_localisation(own, None, OWN).scores
    for components, name in (("largest", "MaxBoxAcc@0.5"), ("all", "MaxBoxAccV2")):
        expected = metrics.choose_thresholds(
            large, own.boxes, components=components, thresholds=THRESHOLDS
        )
        at = metrics.box_acc_at(large, own.boxes, expected.thresholds, components, "corrected")
        wanted = at["BoxAcc@0.5"] if components == "largest" else at["mean"]
        assert scores[name] == pytest.approx(wanted)
        if components == "largest":
            assert best_cut(own) == expected.thresholds[0.5]


def test_thresholds_of_others_are_applied():
    own, other = places(10), places(7, seed=1, noise=0.8)
    cut = best_cut(other)
    large = metrics.upsample_maps(own.maps, GRID[::-1])
    expected = metrics.box_overlaps(large, own.boxes, "largest", "corrected", [cut])[:, 0]
    found = score_localisation(own, other, Supervision("separate split"))
    np.testing.assert_allclose(found.ious, expected)


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
    shared = replace(own, images=np.array([0, 0, 1, 1, 2, 2]))
    said = score_localisation(shared, None, OWN).settings[SUPERVISION]
    assert said.startswith("boxes of 3 images")


def slowly(own, maps):
    """`measure` of some maps at the size of the grid."""
    return [
        metrics.box_overlaps(maps, own.boxes, "largest", "corrected", THRESHOLDS),
        metrics.box_overlaps(maps, own.boxes, "all", "corrected", THRESHOLDS),
        metrics.pointing_hits(maps, own.boxes),
    ]


@pytest.mark.parametrize("kind", ["own", "centre", "noise"])
def test_what_is_measured(kind):
    own = places(300 if kind == "own" else 20)  # more than a chunk
    large = metrics.upsample_maps(own.maps, GRID[::-1])
    noise = metrics.upsample_maps(metrics.random_maps(len(own.rows), (16, 12)), GRID[::-1])
    measured, maps = {
        "own": (measure, large),
        "centre": (measure_centre, metrics.centre_maps(len(own.rows), GRID[::-1])),
        "noise": (measure_noise, noise),
    }[kind]
    found = measured(own)
    expected = slowly(own, maps)
    for one, two in zip((found.largest, found.every, found.pointed), expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_one_of_several_boxes_is_enough_for_the_centre_box():
    own = places(2)
    two = replace(own, boxes=tuple(np.concatenate([b, [[8, 6, 24, 18]]]) for b in own.boxes))
    assert measure_centre(two).largest.max() == 1
