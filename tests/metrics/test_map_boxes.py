"""Boxes by a share of the maximum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from lookcloser.core import LookcloserError
from lookcloser.metrics.level_sets.labels import largest_box
from lookcloser.metrics.map_boxes import box_from_map, boxes_from_maps


def two_blobs():
    """A small high blob and a wide low one, joined with nothing."""
    array = np.zeros((8, 12))
    array[1:3, 1:3] = 1.0
    array[4:8, 5:12] = 0.5
    return array


def test_the_component_is_chosen():
    assert box_from_map(two_blobs()) == (5, 4, 12, 8)
    assert box_from_map(two_blobs(), component="peak") == (1, 1, 3, 3)
    assert box_from_map(two_blobs(), threshold=0.6) == (1, 1, 3, 3)
    # At the threshold itself a pixel is kept.
    assert box_from_map(two_blobs(), threshold=0.5) == (5, 4, 12, 8)


def test_corners_connect_and_the_first_of_equals_is_taken():
    array = np.zeros((6, 6))
    array[[0, 1, 2], [5, 4, 3]] = 1
    array[[3, 4, 5], [0, 0, 0]] = 1
    assert box_from_map(array) == (3, 0, 6, 3)


def test_share_of_the_maximum_not_of_the_range():
    array = np.array([[0.9, 0.9, 1.0], [0.1, 0.1, 0.3]])
    assert box_from_map(array, 0.2) == (0, 0, 3, 2)
    assert box_from_map(array - 0.5, 0.2) == (0, 0, 3, 1)


def test_no_evidence_gives_no_box():
    maps = np.stack([np.zeros((3, 3)), -np.ones((3, 3)), np.full((3, 3), np.nan), np.eye(3)])
    boxes = boxes_from_maps(maps)
    assert np.isnan(boxes[:3]).all()
    assert boxes[3].tolist() == [0, 0, 3, 3]
    assert box_from_map(maps[0]) is None
    assert box_from_map(torch.zeros(4, 4)) is None


def test_a_batch_is_one_by_one():
    maps = np.random.default_rng(0).random((20, 9, 7))
    boxes = boxes_from_maps(maps, 0.7)
    for array, box in zip(maps, boxes, strict=True):
        labels, _ = ndimage.label(array >= 0.7 * array.max(), np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        y, x = ndimage.find_objects(labels)[int(sizes.argmax())]
        assert box.tolist() == [x.start, y.start, x.stop, y.stop]
        assert box_from_map(array, 0.7) == tuple(box)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, float("nan")])
def test_thresholds_are_checked(threshold):
    with pytest.raises(LookcloserError, match="threshold = "):
        boxes_from_maps(np.ones((1, 2, 2)), threshold)


def test_unknown_component():
    with pytest.raises(LookcloserError, match="Close: peak"):
        boxes_from_maps(np.ones((1, 2, 2)), component="peek")


def test_area_of_the_polygon():
    """A cross of 9 pixels spans half a square at each inner corner; a line spans nothing."""
    mask = np.zeros((9, 12), bool)
    mask[0] = True
    mask[2:7, 4] = mask[4, 2:7] = True
    assert largest_box(mask, "pixels").tolist() == [0, 0, 11, 0]
    assert largest_box(mask, "polygon").tolist() == [2, 2, 6, 6]


class TestRules:
    """A share of the maximum, as in the paper, or of the range, as the scoring protocol has it."""

    values = np.array([[-1.0, -0.5, 0.1, 0.3], [-1.0, -0.5, 0.1, 1.0]])

    def test_they_cut_at_what_they_say(self):
        assert box_from_map(self.values, 0.2) == (3, 0, 4, 2)  # from 0.2 on
        assert box_from_map(self.values, 0.2, rule="range") == (1, 0, 4, 2)  # from -0.6 on
        assert box_from_map(self.values, 0.5, rule="range") == (2, 0, 4, 2)  # from 0 on
        raised = self.values + 2
        assert box_from_map(raised, 0.4) == (1, 0, 4, 2)  # from 1.2 on
        assert box_from_map(raised, 0.4, rule="range") == (2, 0, 4, 2)  # from 1.8 on

    def test_they_agree_where_the_lowest_value_is_zero(self):
        maps = np.random.default_rng(0).random((20, 9, 9)) ** 3
        maps -= maps.min(axis=(1, 2), keepdims=True)
        np.testing.assert_array_equal(boxes_from_maps(maps), boxes_from_maps(maps, rule="range"))

    def test_range_is_the_share_of_the_normalized_map(self):
        maps = np.random.default_rng(1).standard_normal((20, 9, 9))
        range_of = maps.max(axis=(1, 2), keepdims=True) - maps.min(axis=(1, 2), keepdims=True)
        normal = (maps - maps.min(axis=(1, 2), keepdims=True)) / range_of
        for threshold in (0.15, 0.5, 0.9):
            np.testing.assert_array_equal(
                boxes_from_maps(maps, threshold, rule="range"), boxes_from_maps(normal, threshold)
            )

    @pytest.mark.parametrize("rule", ["max", "range"])
    def test_without_positive_evidence_there_is_no_box(self, rule):
        assert box_from_map(self.values - 1.0, rule=rule) is None
        assert box_from_map(np.zeros((3, 3)), rule=rule) is None
        assert box_from_map(np.full((3, 3), np.nan), rule=rule) is None

    def test_a_constant_map_has_no_range(self):
        assert box_from_map(np.ones((3, 4)), rule="range") is None
        assert box_from_map(np.ones((3, 4))) == (0, 0, 4, 3)

    def test_an_unknown_rule_is_named(self):
        with pytest.raises(LookcloserError, match="mean: unknown box rule. There are: max, range"):
            box_from_map(self.values, rule="mean")
