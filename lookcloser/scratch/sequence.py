"""What all recurrent layers do once per sequence instead of once per step.

Only the product with the previous state has to wait for the step before it. The product of the
inputs with ``Wx`` and the products that give dx, dWx and dWh cover all steps at once. Inside a
layer arrays are time-major, (T, N, ·), so that one step is one contiguous block.
"""

from __future__ import annotations

import numpy as np

from lookcloser.scratch.arrays import Array


def batch_major(x: Array) -> Array:
    """(T, N, D) -> a new array (N, T, D), never a view: callers may write into it."""
    return x.transpose(1, 0, 2).copy()


def project(x: Array, Wx: Array, b: Array, dtype: np.dtype[np.floating]) -> tuple[Array, Array]:
    """The inputs (N, T, D) as (T, N, D), and their part of the pre-activations, (T, N, G)."""
    N, T, D = x.shape
    inputs = np.ascontiguousarray(x.transpose(1, 0, 2))
    a = np.empty((T, N, Wx.shape[1]), dtype=dtype)
    np.matmul(inputs.reshape(T * N, D), Wx, out=a.reshape(T * N, -1))
    a += b
    return inputs, a


def project_backward(da: Array, inputs: Array, Wx: Array) -> tuple[Array, Array, Array]:
    """Gradients dx (N, T, D), dWx (D, G), db (G,) from the pre-activations', ``da`` (T, N, G)."""
    T, N, D = inputs.shape
    flat = da.reshape(T * N, -1)
    dx = (flat @ Wx.T).reshape(T, N, D)
    return batch_major(dx), inputs.reshape(T * N, D).T @ flat, flat.sum(axis=0)


def recurrent_backward(da: Array, states: Array) -> Array:
    """Gradient dWh (H, G) from ``da`` (T, N, G) and the states before each step, (T, N, H)."""
    T, N, H = states.shape
    dWh: Array = states.reshape(T * N, H).T @ da.reshape(T * N, -1)
    return dWh
