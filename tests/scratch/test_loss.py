import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.scratch import numeric_gradient, relative_error, temporal_softmax_loss


@pytest.mark.parametrize(
    ("steps", "share", "expected"), [(1, 1.0, 2.3), (10, 1.0, 23.0), (5000, 0.1, 2.3)]
)
def test_sanity_values_of_small_random_scores(rng, steps, share, expected):
    """ln 10 per counted step; the last row counts a tenth of ten steps, over many sequences."""
    sequences, steps = (steps, 10) if steps == 5000 else (100, steps)
    x = 0.001 * rng.standard_normal((sequences, steps, 10))
    y = rng.integers(10, size=(sequences, steps))
    mask = rng.random((sequences, steps)) <= share
    loss, _ = temporal_softmax_loss(x, y, mask)
    assert loss == pytest.approx(expected, abs=0.04)


def test_divides_by_sequences_and_not_by_steps(rng):
    x, y = rng.normal(size=(3, 5, 4)), rng.integers(4, size=(3, 5))
    mask = rng.random((3, 5)) < 0.6
    loss, dx = temporal_softmax_loss(x, y, mask)
    leaf = torch.from_numpy(x).requires_grad_()
    each = F.cross_entropy(leaf.reshape(15, 4), torch.from_numpy(y).ravel(), reduction="none")
    expected = (each * torch.from_numpy(mask).ravel()).sum() / 3
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-12)
    np.testing.assert_allclose(dx, leaf.grad, rtol=0, atol=1e-12)
    assert not dx[~mask].any()


def test_gradient_equals_central_differences(rng):
    x, y = rng.normal(size=(2, 3, 5)), rng.integers(5, size=(2, 3))
    mask = np.array([[True, True, False], [True, False, False]])
    _, dx = temporal_softmax_loss(x, y, mask)
    numeric = numeric_gradient(lambda: temporal_softmax_loss(x, y, mask)[0], x)
    assert relative_error(dx, numeric) <= 1e-6


def test_huge_scores_do_not_overflow():
    x = np.array([[[1000.0, -1000.0]]])
    loss, dx = temporal_softmax_loss(x, np.array([[1]]), np.array([[True]]))
    assert loss == pytest.approx(2000.0)
    np.testing.assert_allclose(dx, [[[1.0, -1.0]]])


def test_float32_stays_float32(rng):
    x = rng.normal(size=(2, 3, 5)).astype(np.float32)
    _, dx = temporal_softmax_loss(x, np.zeros((2, 3), dtype=int), np.ones((2, 3), dtype=bool))
    assert dx.dtype == np.float32
