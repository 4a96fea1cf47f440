import numpy as np
import pytest
import torch

from lookcloser.scratch import (
    affine_backward,
    affine_forward,
    numeric_gradient,
    relative_error,
    temporal_affine_backward,
    temporal_affine_forward,
)


def test_affine_flattens_every_item(rng):
    x, w, b = rng.normal(size=(3, 4, 5)), rng.normal(size=(20, 6)), rng.normal(size=6)
    out, _ = affine_forward(x, w, b)
    for row, item in zip(out, x, strict=True):
        np.testing.assert_allclose(row, [item.ravel() @ w[:, m] + b[m] for m in range(6)])


@pytest.mark.parametrize(
    ("forward", "backward", "shape"),
    [
        (affine_forward, affine_backward, (3, 2, 4)),
        (temporal_affine_forward, temporal_affine_backward, (3, 2, 8)),
    ],
)
def test_gradients_equal_central_differences(rng, forward, backward, shape):
    x, w, b = rng.normal(size=shape), rng.normal(size=(8, 5)), rng.normal(size=5)
    out, cache = forward(x, w, b)
    dout = rng.normal(size=out.shape)
    gradients = backward(dout, cache)
    for value, gradient in zip((x, w, b), gradients, strict=True):
        assert gradient.shape == value.shape
        numeric = numeric_gradient(lambda: forward(x, w, b)[0], value, dout)
        assert relative_error(gradient, numeric) <= 1e-6


def test_temporal_affine_equals_torch(rng):
    x, w, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)
    out, cache = temporal_affine_forward(x, w, b)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, w, b)]
    expected = leaves[0] @ leaves[1] + leaves[2]
    np.testing.assert_allclose(out, expected.detach(), rtol=0, atol=1e-12)
    dout = rng.normal(size=out.shape)
    expected.backward(torch.from_numpy(dout))
    for leaf, gradient in zip(leaves, temporal_affine_backward(dout, cache), strict=True):
        np.testing.assert_allclose(gradient, leaf.grad, rtol=0, atol=1e-12)
