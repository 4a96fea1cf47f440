"""PxAP and the pointing game."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from lookcloser.core import LookcloserError
from lookcloser.metrics.pixels import PxAP, pointing_game, pointing_hits, pxap


def reference_pxap_slowly(maps, masks, thresholds):
    """By the written rules: histograms over bins that are open above, summed over all images."""
    edges = np.append(thresholds, [1.0, 2.0, 3.0])
    objects, background = np.zeros((2, len(edges) - 1))
    for array, mask in zip(maps, masks, strict=True):
        spread = array.max() - array.min()
        normal = (array - array.min()) / spread if spread else np.zeros_like(array)
        objects += np.histogram(normal[mask == 1], bins=edges)[0]
        background += np.histogram(normal[mask == 0], bins=edges)[0]
    true, false = np.cumsum(objects[::-1]), np.cumsum(background[::-1])
    score = 0.0
    for i in range(1, len(true)):
        if true[i] + false[i]:
            precision = true[i] / (true[i] + false[i])
            score += precision * (true[i] - true[i - 1]) / objects.sum()
    return score


def images(count, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    maps = rng.random((count, 15, 11)).astype(dtype)
    masks = rng.choice([0, 1, 255], p=[0.5, 0.3, 0.2], size=maps.shape)
    return maps + (masks == 1) * 0.3, masks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step", [0.001, 0.1])
def test_pxap_is_the_reference(dtype, step):
    maps, masks = images(12, dtype=dtype)
    maps[3] = 0.5
    maps[4] = np.round(maps[4], 1)
    thresholds = np.arange(0, 1, step)
    expected = reference_pxap_slowly(maps, masks, thresholds)
    assert pxap(maps, masks, thresholds) == pytest.approx(expected, abs=1e-12)
    assert pxap(torch.from_numpy(maps), torch.from_numpy(masks)) == pxap(maps, masks)


def test_edges_between_two_numbers_of_the_maps_precision():
    """A pixel just below a threshold, and one just above: 0.3 is no number of float32."""
    edge = np.float64(0.3)
    above = np.float32(edge)
    assert float(above) > edge
    below = np.nextafter(above, np.float32(0))
    maps = np.array([[[0, below, above, 1]]], np.float32)
    masks = np.array([[[0, 0, 1, 1]]])
    for thresholds in ([0.0, 0.3], [0.0, float(below)], [0.0, float(above)], [0.0, 0.7]):
        expected = reference_pxap_slowly(maps, masks, np.array(thresholds))
        assert pxap(maps, masks, thresholds) == pytest.approx(expected, abs=1e-12)
    assert pxap(maps, masks, [0.0, 0.3]) == 1.0
    assert pxap(maps, masks, [0.0, float(below)]) < 1.0


def test_pxap_is_nearly_average_precision():
    maps, masks = images(1)
    seen = masks != 255
    exact = average_precision_score(masks[seen], maps[seen])
    assert pxap(maps, masks) == pytest.approx(exact, abs=5e-3)


def test_pixels_are_pooled_and_others_ignored():
    maps, masks = images(6)
    masks[0][masks[0] == 1] = 0
    metric = PxAP()
    for array, mask in zip(maps, masks, strict=True):
        metric.update(array[None], mask[None])
    assert metric.compute() == pxap(maps, masks)
    means = [pxap(maps[[i]], masks[[i]]) for i in range(1, 6)]
    assert metric.compute() != pytest.approx(np.mean(means), abs=1e-6)
    # Ignored pixels still take part in the normalization, and in nothing else.
    changed = maps.copy()
    inner = (masks == 255) & (maps > maps.min((1, 2), keepdims=True))
    inner &= maps < maps.max((1, 2), keepdims=True)
    changed[inner] = maps[1].mean()
    assert pxap(changed, masks) == metric.compute()


def test_pxap_extremes():
    mask = np.zeros((1, 4, 4), int)
    mask[0, 1:3, 1:3] = 1
    assert pxap(mask.astype(np.float32), mask) == 1.0
    assert pxap(np.zeros((1, 4, 4)), mask) == 4 / 16
    with pytest.raises(LookcloserError, match="Masks without an object"):
        pxap(np.zeros((1, 4, 4)), mask * 0)
    with pytest.raises(LookcloserError, match="Masks of shape"):
        pxap(np.zeros((1, 4, 4)), mask[0])
    for thresholds in ([0, 0.5, 0.5], [0.1, 0.5], [0, 1.0]):
        with pytest.raises(LookcloserError, match="ascending from 0"):
            pxap(mask, mask, thresholds)


def test_pointing_inside_any_box():
    maps = np.zeros((4, 6, 8), np.float32)
    maps[0, 2, 3] = maps[1, 5, 7] = maps[2, 0, 0] = 1
    boxes = [[[3, 2, 4, 3]], [[0, 0, 2, 2], [6, 4, 8, 6]], [[1, 1, 4, 4]], [[0, 0, 8, 6]]]
    assert pointing_hits(maps, boxes).tolist() == [True, True, False, False]
    assert pointing_game(maps, boxes) == 0.5


def test_the_point_is_the_center_of_the_first_highest_pixel():
    array = np.zeros((1, 4, 4))
    array[0, 1, 2] = array[0, 3, 0] = 5
    assert pointing_game(array, [[2, 1, 3, 2]]) == 1.0
    assert pointing_game(array, [[2.6, 1, 3, 2]]) == 0.0
    assert pointing_game(array, [[0, 3, 1, 4]]) == 0.0


def test_tolerance_is_a_distance():
    array = np.zeros((1, 10, 10))
    array[0, 0, 0] = 1
    box = [[3.5, 4.5, 8, 8]]
    assert pointing_game(array, box, tolerance=4.99) == 0.0
    assert pointing_game(array, box, tolerance=5.0) == 1.0


def test_each_class_counts_the_same():
    maps = np.zeros((4, 5, 5))
    maps[:, 2, 2] = 1
    boxes = [[2, 2, 3, 3]] * 2 + [[0, 0, 1, 1]] * 2
    assert pointing_game(maps, boxes) == 0.5
    assert pointing_game(maps, boxes, classes=[0, 1, 1, 1]) == (1 + 1 / 3) / 2
    with pytest.raises(LookcloserError, match="Classes of shape"):
        pointing_game(maps, boxes, classes=[0, 1])


def test_maps_that_point_nowhere():
    maps = np.stack([np.ones((3, 3)), np.where(np.eye(3) > 0, np.nan, 1.0)])
    assert pointing_hits(maps, [[0, 0, 3, 3]] * 2).tolist() == [False, False]
