"""Are the hand-written gradients right? Central differences, and the error between two gradients.

The differences are of fourth order. Their error falls with the fourth power of the step, so that
the step can be large enough for rounding not to matter: in float64 a step of 1e-3 gives about
twelve digits, where the usual second order gives ten at best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lookcloser.scratch.arrays import Array


def numeric_gradient(
    f: Callable[[], Array | float], x: Array, upstream: Array | float = 1.0, step: float = 1e-3
) -> Array:
    """Gradient of ``sum(f() * upstream)`` with respect to ``x``, by central differences.

    Near a kink, as a ReLU has, differences are wrong: pass a smaller step.

    Args:
        f: Reads ``x`` when called. ``x`` is changed in place, one element at a time, and restored.
        x: Any shape, float64.
        upstream: The gradient that reaches the output of ``f``, of its shape.
        step: ``f`` is evaluated at ``x ± step`` and at ``x ± 2 step``.

    Returns:
        An array of the shape of ``x``; four calls of ``f`` for every element.
    """
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        for offset, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
            x[index] = value + offset * step
            gradient[index] += weight * np.sum(f() * np.asarray(upstream)) / (12 * step)
        x[index] = value
    return gradient


def relative_error(first: Array, second: Array, floor: float = 1e-8) -> float:
    """The largest ``|a - b| / max(floor, |a| + |b|)`` over the elements of two arrays.

    ``floor`` keeps two gradients that are both zero up to rounding from counting as different.
    """
    difference = np.abs(first - second)
    return float(np.max(difference / np.maximum(floor, np.abs(first) + np.abs(second))))


def check_gradients(
    loss: Callable[[], float],
    params: Mapping[str, Array],
    grads: Mapping[str, Array],
    step: float = 1e-3,
) -> dict[str, float]:
    """`relative_error` of every gradient against central differences of ``loss``, by name.

    Args:
        loss: Reads ``params`` when called; called four times for every number in them.
        params: float64 arrays, changed in place while it runs, and restored.
        grads: The gradients to check, under the same names.
        step: As for `numeric_gradient`.
    """
    return {
        name: relative_error(grads[name], numeric_gradient(loss, value, step=step))
        for name, value in params.items()
    }
