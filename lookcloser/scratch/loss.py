"""Softmax cross-entropy over the steps of a batch of sequences."""

from __future__ import annotations

import numpy as np

from lookcloser.scratch.arrays import Array, Indices, Mask


def temporal_softmax_loss(x: Array, y: Indices, mask: Mask) -> tuple[float, Array]:
    """The summed cross-entropy of the unmasked steps, divided by the number of sequences only.

    Not divided by the number of steps: a step weighs the same in a long sequence as in a short
    one, and the loss of T steps is T times the loss of one.

    Args:
        x: (N, T, V) logits.
        y: (N, T) true indices in [0, V).
        mask: (N, T), True where the step counts.

    Returns:
        The loss, and its gradient dx (N, T, V).
    """
    N, T, V = x.shape
    shifted = x.reshape(N * T, V) - x.reshape(N * T, V).max(axis=1, keepdims=True)
    weights = mask.reshape(N * T, 1) / x.dtype.type(N)
    dx = np.exp(shifted)
    total = dx.sum(axis=1, keepdims=True)
    true = (np.arange(N * T), y.ravel())
    loss = float(np.sum((np.log(total[:, 0]) - shifted[true]) * weights[:, 0]))
    dx /= total
    dx[true] -= 1
    dx *= weights
    return loss, dx.reshape(N, T, V)
