"""The LSTM layer (Hochreiter and Schmidhuber, 1997, with forget gates).

``i, f, o = sigmoid(·)`` and ``g = tanh(·)`` of ``x_t Wx + h_{t-1} Wh + b``, its 4H columns in this
order; ``c_t = f c_{t-1} + i g``; ``h_t = o tanh(c_t)``; ``c_0 = 0``. Note that torch.nn.LSTM stores
its gates in the order i, f, g, o.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookcloser.scratch.arrays import Array, blocks, sigmoid_
from lookcloser.scratch.sequence import batch_major, project, project_backward, recurrent_backward


class LSTMStepCache(NamedTuple):
    """What `lstm_step_backward` needs; ``gates`` are i, f, o, g after their non-linearities."""

    x: Array
    prev_h: Array
    prev_c: Array
    next_c: Array
    gates: Array
    Wx: Array
    Wh: Array


class LSTMCache(NamedTuple):
    """What `lstm_backward` needs: x, gates (T, N, ·); h, c (T + 1, N, H), the start first."""

    x: Array
    h: Array
    c: Array
    gates: Array
    Wx: Array
    Wh: Array


def lstm_step_forward(
    x: Array, prev_h: Array, prev_c: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, Array, LSTMStepCache]:
    """One step.

    Args:
        x: (N, D) inputs.
        prev_h: (N, H) hidden state before the step.
        prev_c: (N, H) cell state before the step.
        Wx: (D, 4H).
        Wh: (H, 4H).
        b: (4H,).

    Returns:
        Hidden and cell state after the step, (N, H) each, and the cache for `lstm_step_backward`.
    """
    gates = x @ Wx + prev_h @ Wh + b
    next_h, next_c = _cell(gates, prev_c)
    return next_h, next_c, LSTMStepCache(x, prev_h, prev_c, next_c, gates, Wx, Wh)


def lstm_step_backward(
    dnext_h: Array, dnext_c: Array, cache: LSTMStepCache
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients dx, dprev_h, dprev_c, dWx, dWh, db of one step; dnext_h and dnext_c are (N, H)."""
    x, prev_h, prev_c, next_c, gates, Wx, Wh = cache
    da, dprev_c = _cell_backward(dnext_h, dnext_c, prev_c, next_c, gates)
    return da @ Wx.T, da @ Wh.T, dprev_c, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, LSTMCache]:
    """All steps of a batch of sequences; the cell state starts at zero.

    Args:
        x: (N, T, D) inputs.
        h0: (N, H) hidden state before the first step.
        Wx: (D, 4H).
        Wh: (H, 4H).
        b: (4H,).

    Returns:
        The hidden states after every step (N, T, H), and the cache for `lstm_backward`.
    """
    T, dtype = x.shape[1], np.result_type(x, h0, Wx, Wh, b)
    inputs, gates = project(x, Wx, b, dtype)
    h = np.empty((T + 1, *h0.shape), dtype=dtype)
    c = np.empty_like(h)
    h[0], c[0] = h0, 0
    recurrent = np.empty(gates.shape[1:], dtype=dtype)
    for t in range(T):
        np.matmul(h[t], Wh, out=recurrent)
        gates[t] += recurrent
        h[t + 1], c[t + 1] = _cell(gates[t], c[t])
    return batch_major(h[1:]), LSTMCache(inputs, h, c, gates, Wx, Wh)


def lstm_backward(dh: Array, cache: LSTMCache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx (N, T, D), dh0 (N, H), dWx, dWh, db of a batch of sequences.

    Args:
        dh: (N, T, H), the gradient that reaches each hidden state from outside the layer.
        cache: From `lstm_forward`.
    """
    inputs, h, c, gates, Wx, Wh = cache
    da = np.empty_like(gates)
    dprev_h, dprev_c = np.zeros_like(h[0]), np.zeros_like(c[0])
    for t in reversed(range(len(gates))):
        dnext_h = dh[:, t] + dprev_h
        da[t], dprev_c = _cell_backward(dnext_h, dprev_c, c[t], c[t + 1], gates[t])
        np.matmul(da[t], Wh.T, out=dprev_h)
    dx, dWx, db = project_backward(da, inputs, Wx)
    return dx, dprev_h, dWx, recurrent_backward(da, h[:-1]), db


def _cell(a: Array, prev_c: Array) -> tuple[Array, Array]:
    """next_h and next_c; the pre-activations ``a`` (N, 4H) become the gates, in place."""
    split = a.shape[1] // 4 * 3
    sigmoid_(a[:, :split])
    np.tanh(a[:, split:], out=a[:, split:])
    i, f, o, g = blocks(a, 4)
    next_c = f * prev_c + i * g
    return o * np.tanh(next_c), next_c


def _cell_backward(
    dnext_h: Array, dnext_c: Array, prev_c: Array, next_c: Array, gates: Array
) -> tuple[Array, Array]:
    """Gradients of the pre-activations (N, 4H) and of prev_c (N, H)."""
    i, f, o, g = blocks(gates, 4)
    tanh_c = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - tanh_c**2)
    da = np.empty_like(gates)
    di, df, do, dg = blocks(da, 4)
    di[:] = dc * g * i * (1 - i)
    df[:] = dc * prev_c * f * (1 - f)
    do[:] = dnext_h * tanh_c * o * (1 - o)
    dg[:] = dc * i * (1 - g**2)
    return da, dc * f
