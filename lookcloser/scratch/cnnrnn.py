"""The recurrent unit of CNN-RNN (Wang et al., CVPR 2016): three gates, one candidate, no tanh.

The 4H columns of ``a = w_t Wx + r_{t-1} Wh + b`` are i, f, o, g. The gates i, f, o pass a sigmoid,
or the ReLU of the paper's equations; the candidate ``g`` always passes a ReLU. Then
``r_t = f r_{t-1} + i g`` is the state, and ``r_t o`` is the output, which does not re-enter the
recurrence. The paper has no bias: pass zeros. With ReLU gates nothing bounds the state.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from lookcloser.core.errors import unknown
from lookcloser.scratch.arrays import Array, blocks, sigmoid_
from lookcloser.scratch.sequence import batch_major, project, project_backward, recurrent_backward

Gate = Literal["sigmoid", "relu"]


class CNNRNNStepCache(NamedTuple):
    """What `cnnrnn_step_backward` needs; ``gates`` are i, f, o, g after their non-linearities."""

    x: Array
    prev_r: Array
    next_r: Array
    gates: Array
    Wx: Array
    Wh: Array
    gate: Gate


class CNNRNNCache(NamedTuple):
    """What `cnnrnn_backward` needs: x, gates (T, N, ·) and r (T + 1, N, H), r0 first."""

    x: Array
    r: Array
    gates: Array
    Wx: Array
    Wh: Array
    gate: Gate


def cnnrnn_step_forward(
    x: Array, prev_r: Array, Wx: Array, Wh: Array, b: Array, *, gate: Gate = "sigmoid"
) -> tuple[Array, Array, CNNRNNStepCache]:
    """One step.

    Args:
        x: (N, D) label embeddings.
        prev_r: (N, H) state before the step.
        Wx: (D, 4H).
        Wh: (H, 4H).
        b: (4H,).
        gate: Non-linearity of the three gates, "sigmoid" or "relu".

    Returns:
        State and output of the step, (N, H) each, and the cache for `cnnrnn_step_backward`.

    Raises:
        LookcloserError: If ``gate`` is neither.
    """
    gates = x @ Wx + prev_r @ Wh + b
    next_r, out = _cell(gates, prev_r, gate)
    return next_r, out, CNNRNNStepCache(x, prev_r, next_r, gates, Wx, Wh, gate)


def cnnrnn_step_backward(
    dnext_r: Array, dout: Array, cache: CNNRNNStepCache
) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx, dprev_r, dWx, dWh, db of one step; dnext_r and dout are (N, H)."""
    x, prev_r, next_r, gates, Wx, Wh, gate = cache
    da, dprev_r = _cell_backward(dnext_r, dout, prev_r, next_r, gates, gate=gate)
    dprev_r += da @ Wh.T
    return da @ Wx.T, dprev_r, x.T @ da, prev_r.T @ da, da.sum(axis=0)


def cnnrnn_forward(
    x: Array, r0: Array, Wx: Array, Wh: Array, b: Array, *, gate: Gate = "sigmoid"
) -> tuple[Array, CNNRNNCache]:
    """All steps of a batch of sequences.

    Args:
        x: (N, T, D) label embeddings.
        r0: (N, H) state before the first step.
        Wx: (D, 4H).
        Wh: (H, 4H).
        b: (4H,).
        gate: Non-linearity of the three gates, "sigmoid" or "relu".

    Returns:
        The outputs of every step (N, T, H), and the cache for `cnnrnn_backward`.

    Raises:
        LookcloserError: If ``gate`` is neither.
    """
    T, dtype = x.shape[1], np.result_type(x, r0, Wx, Wh, b)
    inputs, gates = project(x, Wx, b, dtype)
    r = np.empty((T + 1, *r0.shape), dtype=dtype)
    out = np.empty_like(r[1:])
    recurrent = np.empty(gates.shape[1:], dtype=dtype)
    r[0] = r0
    for t in range(T):
        np.matmul(r[t], Wh, out=recurrent)
        gates[t] += recurrent
        r[t + 1], out[t] = _cell(gates[t], r[t], gate)
    return batch_major(out), CNNRNNCache(inputs, r, gates, Wx, Wh, gate)


def cnnrnn_backward(dout: Array, cache: CNNRNNCache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients dx (N, T, D), dr0 (N, H), dWx, dWh, db of a batch of sequences.

    Args:
        dout: (N, T, H), the gradient that reaches each output.
        cache: From `cnnrnn_forward`.
    """
    inputs, r, gates, Wx, Wh, gate = cache
    da = np.empty_like(gates)
    dprev_r = np.zeros_like(r[0])
    for t in reversed(range(len(gates))):
        da[t], dprev_r = _cell_backward(dprev_r, dout[:, t], r[t], r[t + 1], gates[t], gate=gate)
        dprev_r += da[t] @ Wh.T
    dx, dWx, db = project_backward(da, inputs, Wx)
    return dx, dprev_r, dWx, recurrent_backward(da, r[:-1]), db


def _cell(a: Array, prev_r: Array, gate: Gate) -> tuple[Array, Array]:
    """next_r and the output; the pre-activations ``a`` (N, 4H) become i, f, o, g, in place."""
    if gate not in ("sigmoid", "relu"):
        raise unknown(gate, "gate", ("sigmoid", "relu"))
    split = a.shape[1] // 4 * 3
    if gate == "sigmoid":
        sigmoid_(a[:, :split])
    # Sigmoids are positive, so that one ReLU over all four blocks serves both kinds of gate.
    np.maximum(a, 0, out=a)
    i, f, o, g = blocks(a, 4)
    next_r = f * prev_r + i * g
    return next_r, next_r * o


def _cell_backward(
    dnext_r: Array, dout: Array, prev_r: Array, next_r: Array, gates: Array, *, gate: Gate
) -> tuple[Array, Array]:
    """Gradients of the pre-activations (N, 4H), and of prev_r without the part through Wh."""
    i, f, o, g = blocks(gates, 4)
    dr = dnext_r + dout * o
    # Each non-linearity gives its own derivative from its value.
    slope = (gates > 0).astype(gates.dtype)
    if gate == "sigmoid":
        inner = gates[:, : 3 * g.shape[1]]
        slope[:, : 3 * g.shape[1]] = inner * (1 - inner)
    da = np.hstack([dr * g, dr * prev_r, dout * next_r, dr * i]) * slope
    return da, dr * f
