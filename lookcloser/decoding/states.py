"""Rows of decoder states: counted, picked and kept, whatever the nesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import numpy as np

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding.arrays import arrays_of
from lookcloser.decoding.types import Integers, S

P = ParamSpec("P")
R = TypeVar("R")


def leaves(state: Any) -> Iterator[Any]:
    """The arrays of a state, depth first.

    Raises:
        LookcloserError: For anything but arrays, tensors, tuples and dicts.
    """
    if isinstance(state, tuple | dict):
        for part in state.values() if isinstance(state, dict) else state:
            yield from leaves(part)
    else:
        arrays_of(state)
        yield state


def row_count(state: object) -> int:
    """The common size of dimension 0.

    Raises:
        LookcloserError: Where there is no array, or the arrays disagree.
    """
    sizes = {leaf.shape[0] if leaf.ndim else None for leaf in leaves(state)}
    if len(sizes) != 1 or None in sizes:
        raise LookcloserError(
            f"the state's tensors have leading dimensions {sorted(sizes, key=str)}",
            allowed="One leading dimension for all: the images",
            fix="An LSTM state (layers, images, hidden) needs transpose(0, 1) first",
        )
    size = sizes.pop()
    assert size is not None
    return int(size)


def tokens_for(state: object, tokens: Integers) -> Any:
    """``tokens`` as an array of the kind and in the place of the state's first."""
    first = next(leaves(state))
    return arrays_of(first).like(tokens, first)


def select(state: S, rows: Integers) -> S:
    """The state of ``rows`` (n,), in that order; a row may come several times."""
    picked: S = _map(lambda leaf: arrays_of(leaf).select(leaf, rows), state)
    return picked


def _map(function: Callable[..., Any], *states: Any) -> Any:
    """A state of ``function``'s results on the arrays that lie at the same place."""
    first = states[0]
    if isinstance(first, dict):
        return {key: _map(function, *(state[key] for state in states)) for key in first}
    if not isinstance(first, tuple):
        return function(*states)
    parts = [_map(function, *together) for together in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


class StateBank(Generic[S]):
    """Rows of states that a search may come back to, in storage that doubles when it is full.

    The first rows get the numbers 0, 1, ….
    """

    def __init__(self) -> None:
        self._stored: S | None = None
        self._capacity = self._used = 0
        self._free: list[int] = []

    def put(self, state: S) -> list[int]:
        """Store every row of ``state``; returns their numbers."""
        count = row_count(state)
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        rows = reused + list(range(self._used, self._used + count - len(reused)))
        self._used += count - len(reused)
        if self._stored is None or self._used > self._capacity:
            self._capacity = max(2 * self._capacity, self._used)
            before = state if self._stored is None else self._stored
            self._stored = _map(lambda leaf: arrays_of(leaf).resized(leaf, self._capacity), before)
        index = np.array(rows, dtype=np.int64)
        _map(lambda kept, new: arrays_of(kept).write(kept, index, new), self._stored, state)
        return rows

    def take(self, rows: Sequence[int] | Integers) -> S:
        """A copy of the state of ``rows``, which have been put."""
        assert self._stored is not None
        return select(self._stored, np.asarray(rows, dtype=np.int64))

    def free(self, rows: Sequence[int]) -> None:
        """Give the places of ``rows`` back; their numbers are used again."""
        self._free.extend(rows)


def quietly(
    decoder: Callable[Concatenate[Any, Any, P], R],
) -> Callable[Concatenate[Any, Any, P], R]:
    """``decoder(step, state, …)`` without recording anything for a backward pass."""

    @wraps(decoder)
    def run(step: Any, state: Any, *args: P.args, **options: P.kwargs) -> R:
        row_count(state)  # refuses a state that is none
        with arrays_of(next(leaves(state))).without_gradients():
            return decoder(step, state, *args, **options)

    decorated: Callable[Concatenate[Any, Any, P], R] = run  # type: ignore[assignment]  # of names
    return decorated
