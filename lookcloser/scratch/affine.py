"""Affine maps of a batch and of a batch of sequences, with hand-written backward passes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookcloser.scratch.arrays import Array


class AffineCache(NamedTuple):
    """What `affine_backward` needs."""

    x: Array
    w: Array


def affine_forward(x: Array, w: Array, b: Array) -> tuple[Array, AffineCache]:
    """``x w + b`` for every item of a batch.

    Args:
        x: (N, d_1, ..., d_k); each item is flattened to D = d_1 · ... · d_k values.
        w: (D, M).
        b: (M,).

    Returns:
        The result (N, M) and the cache for `affine_backward`.
    """
    return x.reshape(len(x), -1) @ w + b, AffineCache(x, w)


def affine_backward(dout: Array, cache: AffineCache) -> tuple[Array, Array, Array]:
    """Gradients of x (its own shape), w (D, M) and b (M,) from ``dout`` (N, M)."""
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    return dx, x.reshape(len(x), -1).T @ dout, np.sum(dout, axis=0)


def temporal_affine_forward(x: Array, w: Array, b: Array) -> tuple[Array, AffineCache]:
    """The same affine map at every step of every sequence, as one matrix product.

    Args:
        x: (N, T, D).
        w: (D, M).
        b: (M,).

    Returns:
        The result (N, T, M) and the cache for `temporal_affine_backward`.
    """
    steps = x.reshape(-1, x.shape[-1])
    out, cache = affine_forward(steps, w, b)
    return out.reshape(*x.shape[:2], -1), cache


def temporal_affine_backward(dout: Array, cache: AffineCache) -> tuple[Array, Array, Array]:
    """Gradients of x (N, T, D), w (D, M) and b (M,) from ``dout`` (N, T, M)."""
    dx, dw, db = affine_backward(dout.reshape(-1, dout.shape[-1]), cache)
    return dx.reshape(*dout.shape[:2], -1), dw, db
