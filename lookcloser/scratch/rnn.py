"""The vanilla recurrent layer, ``h_t = tanh(x_t Wx + h_{t-1} Wh + b)``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookcloser.scratch.arrays import Array
from lookcloser.scratch.sequence import batch_major, project, project_backward, recurrent_backward


class RNNStepCache(NamedTuple):
    """What `rnn_step_backward` needs."""

    x: Array
    prev_h: Array
    next_h: Array
    Wx: Array
    Wh: Array


class RNNCache(NamedTuple):
    """What `rnn_backward` needs: inputs (T, N, D) and states (T + 1, N, H), h0 first."""

    x: Array
    h: Array
    Wx: Array
    Wh: Array


def rnn_step_forward(
    x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, RNNStepCache]:
    """One step.

    Args:
        x: (N, D) inputs.
        prev_h: (N, H) state before the step.
        Wx: (D, H).
        Wh: (H, H).
        b: (H,).

    Returns:
        The state after the step (N, H), and the cache for `rnn_step_backward`.
    """
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, RNNStepCache(x, prev_h, next_h, Wx, Wh)


def rnn_step_backward(
    dnext_h: Array, cache: RNNStepCache
) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx, dprev_h, dWx, dWh, db of one step from ``dnext_h`` (N, H)."""
    x, prev_h, next_h, Wx, Wh = cache
    da = dnext_h * (1 - next_h**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def rnn_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, RNNCache]:
    """All steps of a batch of sequences.

    Args:
        x: (N, T, D) inputs.
        h0: (N, H) state before the first step.
        Wx: (D, H).
        Wh: (H, H).
        b: (H,).

    Returns:
        The states after every step (N, T, H), and the cache for `rnn_backward`.
    """
    T, dtype = x.shape[1], np.result_type(x, h0, Wx, Wh, b)
    inputs, a = project(x, Wx, b, dtype)
    h = np.empty((T + 1, *h0.shape), dtype=dtype)
    h[0] = h0
    for t in range(T):
        np.matmul(h[t], Wh, out=h[t + 1])
        h[t + 1] += a[t]
        np.tanh(h[t + 1], out=h[t + 1])
    return batch_major(h[1:]), RNNCache(inputs, h, Wx, Wh)


def rnn_backward(dh: Array, cache: RNNCache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx (N, T, D), dh0 (N, H), dWx, dWh, db of a batch of sequences.

    Args:
        dh: (N, T, H), the gradient that reaches each state from outside the layer.
        cache: From `rnn_forward`.
    """
    inputs, h, Wx, Wh = cache
    da = np.empty_like(h[1:])
    dprev_h = np.zeros_like(h[0])
    for t in reversed(range(len(da))):
        da[t] = (dh[:, t] + dprev_h) * (1 - h[t + 1] ** 2)
        np.matmul(da[t], Wh.T, out=dprev_h)
    dx, dWx, db = project_backward(da, inputs, Wx)
    return dx, dprev_h, dWx, recurrent_backward(da, h[:-1]), db
