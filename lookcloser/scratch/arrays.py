"""Array types of this folder, and the two operations on gates that the recurrent units share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Indices = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


def sigmoid_(x: Array) -> None:
    """Replace ``x`` by ``1 / (1 + exp(-x))``, in place, without overflow for any ``x``.

    Written as ``(1 + tanh(x / 2)) / 2``: one transcendental function and no temporary array.
    """
    x *= 0.5
    np.tanh(x, out=x)
    x *= 0.5
    x += 0.5


def blocks(a: Array, count: int) -> Array:
    """The ``count`` gates of ``a`` (N, count · H) as a view (count, N, H), to unpack by name."""
    return a.reshape(len(a), count, -1).swapaxes(0, 1)
