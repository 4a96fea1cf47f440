"""The few operations that decoders do on a model's own arrays, NumPy's or torch's.

All bookkeeping is NumPy's. What belongs to the model, its states and the log-probabilities of its
steps, stays where the model made it, on a GPU too, until a decoder has chosen the few numbers that
it needs. torch is not imported where no tensor comes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding.types import Arrays, Integers

BLOCK = 64  # Columns that `highest` looks at together.


class NumpyArrays:
    """`Arrays` of NumPy."""

    def like(self, values: NDArray[Any], array: Any) -> Any:
        """See `Arrays.like`."""
        del array
        return values

    def of(self, values: NDArray[Any]) -> Any:
        """See `Arrays.of`."""
        return values

    def numpy(self, array: Any) -> NDArray[Any]:
        """See `Arrays.numpy`."""
        half = array.dtype == np.float16
        found: NDArray[Any] = array.astype(np.float32) if half else array
        return found

    def select(self, array: Any, rows: Integers) -> Any:
        """See `Arrays.select`."""
        return array[rows]

    def resized(self, array: Any, rows: int) -> Any:
        """See `Arrays.resized`."""
        larger = np.empty((rows, *array.shape[1:]), array.dtype)
        larger[: len(array)] = array
        return larger

    def write(self, array: Any, rows: Integers, values: Any) -> None:
        """See `Arrays.write`."""
        array[rows] = values

    def masked(self, array: Any, columns: Integers) -> Any:
        """See `Arrays.masked`."""
        copy = array.copy()
        np.put_along_axis(copy, columns, -np.inf, axis=1)
        return copy

    def topk(self, array: Any, count: int) -> tuple[Any, Any]:
        """See `Arrays.topk`. A NaN is higher than all."""
        last = array.shape[1] - count
        columns = np.argpartition(array, last, axis=1)[:, last:] if last else _columns(array)
        values = np.take_along_axis(array, columns, axis=1)
        order = np.argsort(values, axis=1)[:, ::-1]
        return np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)

    def maxima(self, array: Any, block: int) -> Any:
        """See `Arrays.maxima`."""
        blocks = array.shape[1] // block
        return array[:, : blocks * block].reshape(len(array), blocks, block).max(axis=2)

    def gather(self, array: Any, columns: Any) -> Any:
        """See `Arrays.gather`."""
        return np.take_along_axis(array, columns, axis=1)

    def concatenate(self, parts: Sequence[Any]) -> Any:
        """See `Arrays.concatenate`."""
        return np.concatenate(parts, axis=1)

    def without_gradients(self) -> AbstractContextManager[Any]:
        """See `Arrays.without_gradients`."""
        return nullcontext()


NUMPY = NumpyArrays()


def arrays_of(array: object) -> Arrays:
    """What works on ``array``.

    Raises:
        LookcloserError: If it is neither NumPy's nor torch's.
    """
    if isinstance(array, np.ndarray):
        return NUMPY
    if "torch" in sys.modules:
        from lookcloser.decoding.tensors import TENSORS, is_tensor

        if is_tensor(array):
            return TENSORS
    raise LookcloserError(
        f"the state holds a {type(array).__name__}",
        allowed="A tensor or an array, or nested tuples and dicts of them",
    )


def highest(log_probs: Any, count: int) -> tuple[NDArray[Any], Integers]:
    """The ``count`` highest values of each row of (n, V), best first, and their columns.

    Which of equal values it takes is open. They lie in the ``count`` blocks of the highest maxima
    and in the columns behind the last whole block, and one pass finds the maxima: much faster than
    a partition of all columns. Where few blocks would be left out, it does just that.
    """
    arrays = arrays_of(log_probs)
    rows, columns = log_probs.shape
    if columns < 4 * count * BLOCK:
        values, tokens = arrays.topk(log_probs, count)
        return arrays.numpy(values), arrays.numpy(tokens)
    index = np.arange(columns)
    behind = np.tile(index[columns - columns % BLOCK :], (rows, 1))
    blocks = arrays.topk(arrays.maxima(log_probs, BLOCK), count)[1]
    inside = blocks[..., None] * BLOCK + arrays.like(index[:BLOCK], log_probs)
    candidates = arrays.concatenate(
        [inside.reshape(rows, count * BLOCK), arrays.like(behind, log_probs)]
    )
    values, places = arrays.topk(arrays.gather(log_probs, candidates), count)
    return arrays.numpy(values), arrays.numpy(arrays.gather(candidates, places))


def _columns(array: NDArray[Any]) -> Integers:
    return np.broadcast_to(np.arange(array.shape[1]), array.shape)
