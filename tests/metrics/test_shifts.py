import math

import numpy as np
import pytest

from lookcloser.metrics import attention_shift, nested_views


def one_cell(row, column, shape=(4, 4)):
    found = np.zeros(shape)
    found[row, column] = 2.5
    return found


def test_the_same_map_does_not_move():
    maps = np.random.default_rng(0).random((1, 5, 6)).repeat(3, axis=0)
    found = attention_shift(maps * np.array([1, 10, 0.1])[:, None, None])
    np.testing.assert_allclose(found.overlap, 1)
    np.testing.assert_allclose(found.distance, 0, atol=1e-12)


def test_one_cell_to_the_opposite_corner():
    found = attention_shift([one_cell(0, 0), one_cell(3, 3)])
    assert found.overlap[0] == 0
    assert found.distance[0] == pytest.approx(0.75)
    np.testing.assert_allclose(found.size, 1 / 16)


def test_even_evidence_fills_the_image():
    found = attention_shift([np.ones((3, 7)), np.ones((3, 7))])
    np.testing.assert_allclose(found.size, 1)


def test_numbers_are_those_of_a_slow_loop():
    maps = np.random.default_rng(1).normal(size=(4, 3, 5))
    found = attention_shift(maps)
    densities, centers = [], []
    for array in maps:
        values = {(r, c): max(array[r, c], 0) for r in range(3) for c in range(5)}
        total = sum(values.values())
        density = {place: value / total for place, value in values.items()}
        densities.append(density)
        y = sum(value * (r + 0.5) / 3 for (r, _), value in density.items())
        x = sum(value * (c + 0.5) / 5 for (_, c), value in density.items())
        centers.append((x, y))
    for step in range(3):
        one, two = densities[step], densities[step + 1]
        assert found.overlap[step] == pytest.approx(sum(min(one[p], two[p]) for p in one))
        away = math.dist(centers[step], centers[step + 1]) / math.sqrt(2)
        assert found.distance[step] == pytest.approx(away)
    np.testing.assert_allclose(found.center, centers)
    for density, size in zip(densities, found.size, strict=True):
        assert size == pytest.approx(1 / sum(value**2 for value in density.values()) / 15)


def test_a_step_without_evidence_says_nothing():
    found = attention_shift([one_cell(0, 0), np.zeros((4, 4)), one_cell(1, 1)])
    assert np.isnan(found.overlap).all()
    assert np.isnan(found.distance).all()
    assert np.isfinite(found.size).tolist() == [True, False, True]


def test_one_step_has_a_size_alone():
    found = attention_shift([one_cell(1, 2)])
    assert found.overlap.shape == found.distance.shape == (0,)
    assert found.size.shape == (1,)


def test_nested_views():
    found = nested_views([(0, 0, 100, 50), (50, 0, 100, 50), (90, 25, 110, 50)], (200, 100))
    np.testing.assert_allclose(found.size, [0.25, 0.125, 0.025])
    np.testing.assert_allclose(found.center, [[0.25, 0.25], [0.375, 0.25], [0.5, 0.375]])
    np.testing.assert_allclose(found.inside, [1, 1, 0.5])
    np.testing.assert_allclose(found.overlap, [0.5, 250 / 2750])


def test_an_empty_view_is_no_trouble():
    found = nested_views([(10, 10, 10, 10)], (20, 20))
    assert (found.size[0], found.inside[0]) == (0, 0)
