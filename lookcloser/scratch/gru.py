"""The GRU layer in the convention of torch.nn.GRU, gates in its order r, z, n.

With ``a = x_t Wx + b[0]`` and ``s = h_{t-1} Wh + b[1]``, both (N, 3H)::

    r = sigmoid(a_r + s_r)        reset
    z = sigmoid(a_z + s_z)        update
    n = tanh(a_n + r s_n)         candidate: the reset gate acts after the product with Wh
    h_t = (1 - z) n + z h_{t-1}   z keeps the old state

Two rows of biases are needed because ``b[1]`` is inside the reset product: ``b[0]`` is torch's
bias_ih and ``b[1]`` its bias_hh. (Cho et al., 2014, reset before the product and swap z and 1 - z.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookcloser.scratch.arrays import Array, blocks, sigmoid_
from lookcloser.scratch.sequence import batch_major, project, project_backward, recurrent_backward


class GRUStepCache(NamedTuple):
    """What `gru_step_backward` needs: the gates r, z, n and the recurrent part ``s_n`` of n."""

    x: Array
    prev_h: Array
    gates: Array
    s_n: Array
    Wx: Array
    Wh: Array


class GRUCache(NamedTuple):
    """What `gru_backward` needs: x, gates, s_n (T, N, ·) and h (T + 1, N, H), h0 first."""

    x: Array
    h: Array
    gates: Array
    s_n: Array
    Wx: Array
    Wh: Array


def gru_step_forward(
    x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, GRUStepCache]:
    """One step.

    Args:
        x: (N, D) inputs.
        prev_h: (N, H) state before the step.
        Wx: (D, 3H).
        Wh: (H, 3H).
        b: (2, 3H), the input's biases and the state's.

    Returns:
        The state after the step (N, H), and the cache for `gru_step_backward`.
    """
    gates, s = x @ Wx + b[0], prev_h @ Wh + b[1]
    next_h = _cell(gates, s, prev_h)
    return next_h, GRUStepCache(x, prev_h, gates, s[:, -prev_h.shape[1] :], Wx, Wh)


def gru_step_backward(
    dnext_h: Array, cache: GRUStepCache
) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx, dprev_h, dWx, dWh, db (2, 3H) of one step from ``dnext_h`` (N, H)."""
    x, prev_h, gates, s_n, Wx, Wh = cache
    da, ds, dprev_h = _cell_backward(dnext_h, prev_h, gates, s_n)
    dprev_h += ds @ Wh.T
    return da @ Wx.T, dprev_h, x.T @ da, prev_h.T @ ds, np.stack([da.sum(axis=0), ds.sum(axis=0)])


def gru_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, GRUCache]:
    """All steps of a batch of sequences.

    Args:
        x: (N, T, D) inputs.
        h0: (N, H) state before the first step.
        Wx: (D, 3H).
        Wh: (H, 3H).
        b: (2, 3H), the input's biases and the state's.

    Returns:
        The states after every step (N, T, H), and the cache for `gru_backward`.
    """
    T, (N, H), dtype = x.shape[1], h0.shape, np.result_type(x, h0, Wx, Wh, b)
    inputs, gates = project(x, Wx, b[0], dtype)
    h = np.empty((T + 1, N, H), dtype=dtype)
    s_n = np.empty((T, N, H), dtype=dtype)
    s = np.empty((N, 3 * H), dtype=dtype)
    h[0] = h0
    for t in range(T):
        np.matmul(h[t], Wh, out=s)
        s += b[1]
        s_n[t] = s[:, 2 * H :]
        h[t + 1] = _cell(gates[t], s, h[t])
    return batch_major(h[1:]), GRUCache(inputs, h, gates, s_n, Wx, Wh)


def gru_backward(dh: Array, cache: GRUCache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx (N, T, D), dh0 (N, H), dWx, dWh, db (2, 3H) of a batch of sequences.

    Args:
        dh: (N, T, H), the gradient that reaches each state from outside the layer.
        cache: From `gru_forward`.
    """
    inputs, h, gates, s_n, Wx, Wh = cache
    da, ds = np.empty_like(gates), np.empty_like(gates)
    dprev_h = np.zeros_like(h[0])
    for t in reversed(range(len(gates))):
        da[t], ds[t], dprev_h = _cell_backward(dh[:, t] + dprev_h, h[t], gates[t], s_n[t])
        dprev_h += ds[t] @ Wh.T
    dx, dWx, db = project_backward(da, inputs, Wx)
    return dx, dprev_h, dWx, recurrent_backward(ds, h[:-1]), np.stack([db, ds.sum(axis=(0, 1))])


def _cell(a: Array, s: Array, prev_h: Array) -> Array:
    """next_h; the input's part ``a`` (N, 3H) of the pre-activations becomes r, z, n, in place."""
    split = a.shape[1] // 3 * 2
    a[:, :split] += s[:, :split]
    sigmoid_(a[:, :split])
    r, z, n = blocks(a, 3)
    n += r * s[:, split:]
    np.tanh(n, out=n)
    next_h: Array = n + z * (prev_h - n)
    return next_h


def _cell_backward(
    dnext_h: Array, prev_h: Array, gates: Array, s_n: Array
) -> tuple[Array, Array, Array]:
    """Gradients of ``a`` and ``s`` (N, 3H), and of prev_h without the part through Wh."""
    r, z, n = blocks(gates, 3)
    da = np.empty_like(gates)
    dr, dz, dn = blocks(da, 3)
    dn[:] = dnext_h * (1 - z) * (1 - n**2)
    dr[:] = dn * s_n * r * (1 - r)
    dz[:] = dnext_h * (prev_h - n) * z * (1 - z)
    ds = da.copy()
    ds[:, -r.shape[1] :] *= r
    return da, ds, dnext_h * z
