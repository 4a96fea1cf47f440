"""Normalization, enlarging, true boxes and the center baseline."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.metrics.localization import box_overlaps, max_box_acc
from lookcloser.metrics.maps import (
    as_maps,
    center_maps,
    min_max,
    padded_boxes,
    random_maps,
    reference_boxes,
    upsample_maps,
)


def test_normalize_is_the_protocols_arithmetic():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        maps = (rng.standard_normal((20, 9, 7)) * 10 ** rng.uniform(-5, 5, (20, 1, 1))).astype(
            dtype
        )
        before = maps.copy()
        normal = min_max(maps)
        assert normal.dtype == dtype
        for array, found in zip(maps, normal, strict=True):
            expected = array - array.min()
            expected /= expected.max()
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(maps, before)


def test_normalize_without_a_range():
    maps = np.ones((3, 2, 2), np.float32)
    maps[1, 0, 0] = np.nan
    maps[2, 0, 0] = np.finfo(np.float32).tiny
    normal = min_max(maps)
    assert not normal[:2].any()
    assert normal[2].tolist() == [[0, 1], [1, 1]]
    for unbounded in ([[np.inf, 0]], [[-3e38, 3e38]]):
        with pytest.raises(LookcloserError, match=r"maps\[0\]"):
            min_max(np.array([unbounded], np.float32))


def test_precision_is_kept():
    assert as_maps(np.zeros((1, 2, 2), np.float64)).dtype == np.float64
    for dtype in (np.float16, np.float32, np.int64, np.bool_):
        assert as_maps(np.zeros((1, 2, 2), dtype)).dtype == np.float32


def test_enlarging_is_that_of_the_reference():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((20, 14, 11)).astype(np.float32)
    found = upsample_maps(maps, (200, 224))
    expected = [cv2.resize(m, (200, 224), interpolation=cv2.INTER_CUBIC) for m in maps]
    assert found.shape == (20, 224, 200)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    levels = (min_max(found) * 255).astype(np.uint8)
    expected_levels = (min_max(np.array(expected)) * 255).astype(np.uint8)
    assert (levels != expected_levels).mean() < 2e-4


def test_reference_boxes():
    # CUB-200-2011's first image: x, y, width, height = 60, 27, 325, 304 of 500 × 335.
    assert reference_boxes([60, 27, 385, 331], (500, 335), (500, 335)).tolist() == [
        60,
        27,
        385,
        331,
    ]
    scaled = reference_boxes([[60, 27, 385, 331], [0, 0, 500, 335]], (500, 335), (224, 224))
    assert scaled.tolist() == [[26, 18, 172, 221], [0, 0, 223, 223]]
    assert scaled.dtype == np.int64


def test_true_boxes_are_repeated_to_one_length():
    each = [[[1, 1, 2, 2], [3, 3, 4, 4]], [[5, 5, 6, 6]]]
    assert padded_boxes(each, 2, inclusive=True).tolist() == [each[0], each[1] * 2]
    assert padded_boxes(np.array([[0, 0, 0, 0]]), 1, inclusive=True).tolist() == [[[0, 0, 0, 0]]]
    with pytest.raises(LookcloserError, match="an empty box"):
        padded_boxes([[0, 0, 0, 0]], 1, inclusive=False)


def test_center_maps_take_centered_boxes_of_every_share():
    maps = center_maps(3, (40, 20))
    assert maps.shape == (3, 20, 40)
    assert maps.base is not None
    assert not maps.flags.writeable
    np.testing.assert_array_equal(maps, maps[:, ::-1, ::-1])
    for share in (0.3, 0.6, 0.9):
        half = np.array([20, 10]) * share
        centered = [[20 - half[0], 10 - half[1], 20 + half[0], 10 + half[1]]]
        assert box_overlaps(maps[:1], centered, mode="corrected").max() > 0.85
    everything = max_box_acc(maps, [[0, 0, 40, 20]] * 3, mode="corrected")
    assert everything["mean"] == 1.0
    corner = max_box_acc(maps, [[0, 0, 4, 2]] * 3, mode="corrected")
    assert corner["mean"] == 0.0


def test_random_maps_follow_their_seed_and_not_their_number():
    maps = random_maps(50, (4, 6), seed=3)
    assert maps.shape == (50, 6, 4)
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(random_maps(3, (4, 6), seed=3), maps[:3])
    assert (random_maps(3, (4, 6)) != maps[:3]).any()
    assert 0 <= maps.min() < 0.01
    assert 0.99 < maps.max() < 1
    assert abs(np.corrcoef(maps[:25].ravel(), maps[25:].ravel())[0, 1]) < 0.15
