"""Scores of maps beside true boxes, by hand on maps that are their boxes."""

import numpy as np
import pytest

from lookcloser import metrics
from lookcloser.core.results.scores import flat_scores
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import SUPERVISION
from lookcloser.evaluation.localization.map_boxes import find_places, measure, measure_center
from lookcloser.evaluation.localization.scoring import (
    BoxTally,
    Thresholds,
    best_cut,
    image_means,
    level_of,
    score_boxes,
    score_top_k,
)
from lookcloser.evaluation.threshold_source import Supervision
from lookcloser.metrics.thresholds import THRESHOLDS

OWN = Supervision("scored images")
GRID = Grid(24, 32)


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
    sizes, images = [(64, 24)] * count, range(count)
    return find_places(np.array(maps, np.float32), boxes, sizes, GRID, classes, images, "range")


def part(own, rows):
    """Some of the maps, which are of the same images as before."""
    boxes = tuple(own.boxes[row] for row in range(len(own.maps))[rows])
    return own._replace(
        maps=own.maps[rows], boxes=boxes, images=own.images[rows], classes=own.classes[rows]
    )


def score(own, others, supervision, batch=5):
    """Scores by name with baselines, IoUs, and settings; in batches, as from a stream."""
    thresholds = Thresholds.of(supervision, [] if others is None else [others], 2)
    tally = BoxTally(2, thresholds.levels)
    for start in range(0, len(own.maps), batch):
        tally.add(part(own, slice(start, start + batch)))
    scores, level, settings = score_boxes(tally, thresholds)
    return flat_scores(scores), tally.ious(level), settings


def test_images_without_boxes_are_left_out_and_the_rest_keep_theirs():
    found = find_places(
        np.zeros((3, 2, 2), np.float32),
        [[(0, 0, 4, 4)], [], [(2, 0, 4, 2)]],
        [ImageSize(8, 8)] * 3,
        Grid(16, 16),
        classes=[5, 6, 7],
        images=[1, 1, 2],
        rule="range",
    )
    assert len(found.maps) == 2
    assert found.images.tolist() == [1, 2]
    assert found.classes.tolist() == [5, 7]
    assert found.boxes[1].tolist() == [[4, 0, 8, 4]]


def test_every_score_has_its_baselines():
    found, _, _ = score(places(), None, OWN)
    plain = {name for name in found if "center" not in name and "random" not in name}
    assert plain == {"MaxBoxAcc@0.3", "MaxBoxAcc@0.5", "MaxBoxAcc@0.7", "MaxBoxAccV2", "CorLoc",
                     "pointing"}  # fmt: skip
    for base in ("center box", "random map"):
        assert {f"{name} {base}" for name in plain} <= set(found)
    assert found["MaxBoxAcc@0.7"] == found["CorLoc"] == found["pointing"] == 1
    assert found["MaxBoxAcc@0.7 random map"] < 0.5
    assert found["pointing random map"] < 1
    assert score(places(), None, OWN, 12)[0] == found, "for any size of batch"


def test_corloc_counts_every_class_alike():
    found, ious, _ = score(places(12, classes=[0] * 9 + [1] * 3), None, OWN)
    hits = ious >= 0.5
    assert hits[:9].all()
    assert not hits[9:].any()
    assert found["MaxBoxAcc@0.5"] == pytest.approx(0.75)
    assert found["CorLoc"] == pytest.approx(0.5)


def test_corloc_is_that_of_the_boxes():
    own = places(30, noise=0.9, classes=[0] * 20 + [1] * 10)
    found, _, _ = score(own, None, OWN)
    level = best_cut([own], 2)
    large = metrics.upsample_maps(own.maps, GRID.image_size)
    boxes = [_box(array, level) for array in large]
    assert found["CorLoc"] == pytest.approx(metrics.corloc(boxes, own.boxes, own.classes))


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
    large = metrics.upsample_maps(own.maps, GRID.image_size)
    scores, _, _ = score(own, None, OWN)
    for components, name in (("largest", "MaxBoxAcc@0.5"), ("all", "MaxBoxAccV2")):
        expected = metrics.choose_thresholds(
            large, own.boxes, components=components, thresholds=THRESHOLDS
        )
        at = metrics.box_acc_at(large, own.boxes, expected.thresholds, components, "corrected")
        wanted = at["BoxAcc@0.5"] if components == "largest" else at["mean"]
        assert scores[name] == pytest.approx(wanted)
        if components == "largest":
            assert best_cut([own], 2) == expected.thresholds[0.5]


def test_thresholds_of_others_are_applied():
    own, other = places(10), places(7, seed=1, noise=0.8)
    cut = best_cut([part(other, slice(0, 3)), part(other, slice(3, 7))], 2)
    large = metrics.upsample_maps(own.maps, GRID.image_size)
    expected = metrics.box_overlaps(large, own.boxes, "largest", "corrected", [cut])[:, 0]
    _, ious, _ = score(own, other, Supervision("separate split"))
    np.testing.assert_allclose(ious, expected, rtol=1e-6)


def test_the_words_say_what_was_used():
    def said(others, supervision):
        return score(places(), others, supervision)[2][SUPERVISION]

    other = places(5, seed=1)
    assert said(None, OWN) == "boxes of 12 images of the scored images themselves (optimistic)"
    separate = "boxes of 5 images of a separate split"
    assert said(other, Supervision("separate split")) == separate
    few = "boxes of 5 images, drawn from 40 (seed 0), of a separate split"
    assert said(other, Supervision("separate split", (), 40)) == few
    assert said(None, Supervision(None)) == "no boxes: a fixed 0.2 of each map's range"


def test_without_boxes_thresholds_do_not_depend_on_them():
    own = places()
    _, ious, settings = score(own, None, Supervision(None))
    large = metrics.upsample_maps(own.maps, GRID.image_size)
    overlaps = metrics.box_overlaps(large, own.boxes, "largest", "corrected", [0.2])[:, 0]
    np.testing.assert_allclose(ious, overlaps, rtol=1e-6)
    assert "fixed alike" in settings["baselines"]


def test_several_maps_of_an_image_are_boxes_of_one():
    own = places(6)
    shared = own._replace(images=np.array([0, 0, 1, 1, 2, 2]))
    said = score(shared, None, OWN, 2)[2][SUPERVISION]
    assert said.startswith("boxes of 3 images")


def slowly(own, maps):
    """`measure` of some maps at the size of the grid."""
    return [
        metrics.box_overlaps(maps, own.boxes, "largest", "corrected", THRESHOLDS),
        metrics.box_overlaps(maps, own.boxes, "all", "corrected", THRESHOLDS),
        metrics.pointing_hits(maps, own.boxes),
    ]


@pytest.mark.parametrize("kind", ["own", "center"])
def test_what_is_measured(kind):
    own = places(300 if kind == "own" else 20)  # more than a chunk
    large = metrics.upsample_maps(own.maps, GRID.image_size)
    measured, maps = {
        "own": (measure, large),
        "center": (measure_center, metrics.center_maps(len(own.maps), GRID.image_size)),
    }[kind]
    found = measured(own)
    expected = slowly(own, maps)
    for one, two in zip((found.largest, found.every, found.pointed), expected, strict=True):
        np.testing.assert_array_equal(one, two)


def test_one_of_several_boxes_is_enough_for_the_center_box():
    own = places(2)
    two = own._replace(boxes=tuple(np.concatenate([b, [[8, 6, 24, 18]]]) for b in own.boxes))
    assert measure_center(two).largest.max() == 1


def test_random_maps_are_those_of_one_drawing():
    own = places(11)
    noise = metrics.upsample_maps(metrics.random_maps(11, (16, 12)), GRID.image_size)
    pointed = metrics.pointing_hits(noise, own.boxes).mean()
    assert score(own, None, OWN, batch=4)[0]["pointing random map"] == pytest.approx(pointed)


def test_only_the_scored_images_themselves_need_every_threshold():
    assert len(Thresholds.of(OWN, [], 2).levels) == len(THRESHOLDS)
    separate = Thresholds.of(Supervision("separate split"), [places(5, seed=1)], 2)
    assert separate.levels.shape == (1,)
    assert THRESHOLDS[separate.levels[0]] == best_cut([places(5, seed=1)], 2)
    fixed = Thresholds.of(Supervision(None), [], 2)
    assert THRESHOLDS[fixed.levels] == pytest.approx([0.2])
    assert level_of(metrics.fixed_threshold(0.2)) == fixed.levels[0]
    assert fixed.column(fixed.levels[0]) == 0


def test_a_separate_split_without_boxes_leaves_the_scored_images():
    supervision = Supervision("separate split", (), 40)
    nothing = part(places(2), slice(0, 0))
    assert score(places(), nothing, supervision)[2][SUPERVISION].startswith(
        "boxes of 12 images of the scored images themselves"
    )
    assert best_cut([nothing], 2) is None


def test_ious_are_rounded_so_that_hits_stay_what_they_are():
    tally = BoxTally(1, np.arange(len(THRESHOLDS)))
    own = places(40, noise=0.9)
    ious = tally.add(own)
    exact = measure(own).largest
    assert ious.dtype == np.float32
    assert (ious <= exact).all()
    np.testing.assert_array_equal(ious >= 0.5, exact >= 0.5)
    np.testing.assert_allclose(ious, exact, rtol=1e-6)


def test_the_iou_of_an_image_is_the_mean_over_its_maps():
    values = np.array([[0.5, 1.0], [0.25, 0.0], [1.0, 1.0]])
    found = image_means(values, np.array([2, 2, 0]), 4)
    np.testing.assert_array_equal(found[[0, 2]], [[1, 1], [0.375, 0.5]])
    assert np.isnan(found[[1, 3]]).all()
    np.testing.assert_array_equal(image_means(values[:, 0], np.array([0, 0, 1]), 2), [0.375, 1])


def test_right_class_and_right_place():
    ious = np.array([0.5, np.nan, 0.49, 0.9])
    first, best5 = score_top_k(
        [(1, np.array([True, True, True, False])), (5, np.ones(4, bool))], ious
    )
    assert (first.name, first.value) == ("top1_loc", pytest.approx(1 / 3))
    assert (best5.name, best5.value) == ("top5_loc", pytest.approx(2 / 3))
