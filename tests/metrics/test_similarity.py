"""Similarity of maps against SciPy's correlation and a window at a time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from lookcloser.core import LookcloserError
from lookcloser.metrics.similarity import rank_correlation, structural_similarity


def ssim_slowly(first, second):
    """One map, one place at a time, with the window written out."""
    first = (first - first.min()) / (first.max() - first.min())
    second = (second - second.min()) / (second.max() - second.min())
    window = np.array([np.exp(-(i**2) / (2 * 1.5**2)) for i in range(-5, 6)])
    window = np.outer(window, window) / window.sum() ** 2
    a, b = np.pad(first, 5, mode="symmetric"), np.pad(second, 5, mode="symmetric")
    values = []
    for y in range(first.shape[0]):
        for x in range(first.shape[1]):
            one, two = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            m1, m2 = (window * one).sum(), (window * two).sum()
            v1, v2 = (window * (one - m1) ** 2).sum(), (window * (two - m2) ** 2).sum()
            both = (window * (one - m1) * (two - m2)).sum()
            c1, c2 = 0.01**2, 0.03**2
            values.append(
                (2 * m1 * m2 + c1) * (2 * both + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))
            )
    return np.mean(values)


def pairs(seed=0, shape=(6, 9, 14)):
    rng = np.random.default_rng(seed)
    first = rng.random(shape)
    second = first * rng.uniform(-1, 1, (shape[0], 1, 1)) + 0.4 * rng.random(shape)
    return first.round(1), second.round(1)


def test_rank_correlation_is_spearmans():
    first, second = pairs()
    found = rank_correlation(first, second)
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(rank_correlation(first, np.exp(first)), 1)
    np.testing.assert_allclose(rank_correlation(first, -first), -1)


@pytest.mark.parametrize("shape", [(4, 9, 14), (3, 4, 4)])
def test_structural_similarity_window_by_window(shape):
    first, second = pairs(1, shape)
    expected = [ssim_slowly(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(structural_similarity(first, second), expected, atol=1e-6)
    np.testing.assert_allclose(structural_similarity(first, 5 * first + 2), 1)


def test_maps_of_one_value():
    flat, other = np.ones((1, 4, 4)), np.arange(16.0).reshape(1, 4, 4)
    assert rank_correlation(flat, flat) == 1
    assert rank_correlation(flat, other) == rank_correlation(other, flat) == 0
    assert structural_similarity(flat, 0 * flat) == 1
    assert structural_similarity(flat, other) < 0.2


def test_unfit_maps():
    with pytest.raises(LookcloserError, match="beside"):
        rank_correlation(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(LookcloserError, match="finite maps"):
        structural_similarity(np.zeros((1, 4, 4)), np.full((1, 4, 4), np.inf))
