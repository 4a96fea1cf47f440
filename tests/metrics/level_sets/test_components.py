"""Components at all thresholds against labeling each level set."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lookcloser.metrics.level_sets.components import fill_lakes, lakes, land
from lookcloser.metrics.level_sets.landscape import Landscape
from lookcloser.metrics.level_sets.merging import Events, join, trace

EVERYWHERE = np.ones((3, 3))


def maps_of(kind, seed, count=4):
    """Maps with values in [0, 255]."""
    rng = np.random.default_rng(seed)
    shape = (count, *rng.integers(1, 20, 2))
    if kind == "noise":
        return rng.uniform(0, 255, shape)
    if kind == "plateaus":
        return rng.integers(0, 5, shape) * 60.0
    blurred = np.stack([ndimage.gaussian_filter(rng.random(shape[1:]), 1.5) for _ in range(count)])
    return np.round(blurred * 255, rng.integers(0, 3)).clip(0, 255)


def boxes_of(labels):
    """Sorted boxes, inclusive, of the labeled parts."""
    return sorted(
        (x.start, y.start, x.stop - 1, y.stop - 1) for y, x in ndimage.find_objects(labels)
    )


def hole_labels(mask):
    """Labels of the 4-connected background parts of a padded mask that do not reach its frame."""
    background, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    background[background == background[0, 0]] = 0
    return ndimage.label(background > 0)[0][1:-1, 1:-1]


def collected(found, count, steps):
    boxes = [[[] for _ in range(steps)] for _ in range(count)]
    for image, step, box in zip(found.image, found.step, found.box.tolist(), strict=True):
        boxes[image][step].append(tuple(box))
    return [[sorted(level) for level in image] for image in boxes]


KINDS = ("noise", "plateaus", "blobs")
THRESHOLDS = [
    np.arange(0, 255, 17),
    np.arange(255),
    np.array([120]),
    np.array([0, 254, 255]),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thresholds", THRESHOLDS, ids=len)
def test_boxes_of_land_and_lakes(kind, thresholds):
    for seed in range(6):
        maps = maps_of(kind, seed)
        landscape = Landscape(maps)
        on_land = collected(land(landscape, thresholds), len(maps), len(thresholds))
        in_lakes = collected(lakes(landscape, thresholds), len(maps), len(thresholds))
        for image, values in enumerate(maps):
            for step, threshold in enumerate(thresholds):
                mask = values.astype(np.uint8) > threshold
                assert on_land[image][step] == boxes_of(ndimage.label(mask, EVERYWHERE)[0])
                assert in_lakes[image][step] == boxes_of(hole_labels(mask))


@pytest.mark.parametrize("kind", KINDS)
def test_area_in_pixels(kind):
    thresholds = np.arange(0, 255, 17)
    for seed in range(6):
        maps = maps_of(kind, seed)
        found = land(Landscape(maps), thresholds, "pixels")
        for image, values in enumerate(maps):
            of_image = found.image == image
            for step, threshold in enumerate(thresholds):
                labels, _ = ndimage.label(values.astype(np.uint8) > threshold, EVERYWHERE)
                areas = np.sort(found.area[of_image & (found.step == step)])
                expected = np.sort(np.bincount(labels.ravel())[1:])
                # Not measured where a map never has a second component.
                if len(areas) > 1:
                    np.testing.assert_array_equal(areas, expected)
                else:
                    assert len(areas) == len(expected)
                    assert areas.sum() in (0, expected.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_filled_lakes(kind):
    thresholds = np.arange(0, 255, 5)
    for seed in range(6):
        maps = maps_of(kind, seed)
        filled = fill_lakes(Landscape(maps), thresholds)
        assert np.all(filled >= maps)
        for before, after in zip(maps, filled, strict=True):
            for threshold in thresholds:
                expected = ndimage.binary_fill_holes(before.astype(np.uint8) > threshold)
                np.testing.assert_array_equal(after.astype(np.uint8) > threshold, expected)


def test_noise_in_bulk():
    """Thousands of basins that join in long chains."""
    rng = np.random.default_rng(0)
    maps = rng.uniform(0, 255, (2, 90, 70)).astype(np.float32)
    thresholds = np.arange(255)
    landscape = Landscape(maps)
    on_land, in_lakes = land(landscape, thresholds), lakes(landscape, thresholds)
    for image, values in enumerate(maps):
        for threshold in (0, 60, 100, 130, 160, 200, 254):
            mask = values.astype(np.uint8) > threshold
            for found, labels in (
                (on_land, ndimage.label(mask, EVERYWHERE)[0]),
                (in_lakes, hole_labels(mask)),
            ):
                here = (found.image == image) & (found.step == threshold)
                assert sorted(map(tuple, found.box[here].tolist())) == boxes_of(labels)


def test_maps_do_not_touch_each_other():
    maps = np.full((3, 2, 2), 200.0)
    maps[1] = 100
    found = land(Landscape(maps), np.array([50, 150]))
    assert sorted(zip(found.image.tolist(), found.step.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 0), (2, 0), (2, 1),
    ]  # fmt: skip
    assert found.box.tolist() == [[0, 0, 1, 1]] * 5


def test_tree_of_joins():
    """A chain of four basins; the highest of several meetings of a pair counts."""
    first, second = np.array([1, 2, 2, 3, 0]), np.array([2, 1, 3, 4, 1])
    tree = join(5, first, second, np.array([2, 6, 4, 9, 0]))
    assert sorted(tree.joins.tolist()) == [-1, 0, 4, 6, 9]
    at = {level: tree.heads_at(np.arange(5), np.full(5, level)).tolist() for level in (10, 9, 6, 4)}
    groups = {level: len(set(heads[1:])) for level, heads in at.items()}
    assert groups == {10: 4, 9: 3, 6: 2, 4: 1}
    assert at[9][3] == at[9][4]
    assert at[6][1] == at[6][2]


def test_weights_and_extents_follow_the_joins():
    tree = join(3, np.array([1, 0]), np.array([2, 1]), np.array([2, 0]))
    column = Events(np.array([1, 2, 1]), np.array([4, 3, 1]), np.array([7, 5, 1]))
    weights = Events(np.array([1, 2, 2]), np.array([4, 3, 1]), np.array([10, 100, 1000]))
    found = trace(tree, np.array([0, 4, 3]), [column] * 4, weights)
    by_step = {
        step: sorted(
            (box[0], box[2], weight)
            for box, weight in zip(
                found.box[found.step == step].tolist(),
                found.weight[found.step == step].tolist(),
                strict=True,
            )
        )
        for step in range(4)
    }
    assert by_step == {
        3: [(7, 7, 10)],
        2: [(5, 5, 100), (7, 7, 10)],
        1: [(5, 7, 110)],
        0: [(1, 7, 1110)],
    }
