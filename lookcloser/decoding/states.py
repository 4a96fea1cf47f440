"""Rows of decoder states: counted, picked and kept, whatever the nesting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic

import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding.types import S


def leaves(state: Any) -> Iterator[Tensor]:
    """The tensors of a state, depth first.

    Raises:
        LookcloserError: For anything but tensors, tuples and dicts.
    """
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, tuple | dict):
        for part in state.values() if isinstance(state, dict) else state:
            yield from leaves(part)
    else:
        raise LookcloserError(
            f"the state holds a {type(state).__name__}",
            allowed="A tensor, or nested tuples and dicts of tensors",
        )


def row_count(state: object) -> int:
    """The common size of dimension 0.

    Raises:
        LookcloserError: Where there is no tensor, or the tensors disagree.
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
    return size


def device_of(state: object) -> torch.device:
    """The device of the first tensor."""
    return next(leaves(state)).device


def select(state: S, rows: Tensor) -> S:
    """The state of ``rows`` (n,), in that order; a row may come several times."""
    picked: S = _map(lambda leaf: leaf.index_select(0, rows.to(leaf.device)), state)
    return picked


def _map(function: Callable[..., Tensor], *states: Any) -> Any:
    """A state of ``function``'s results on the tensors that lie at the same place."""
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    if isinstance(first, dict):
        return {key: _map(function, *(state[key] for state in states)) for key in first}
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
            self._stored = _map(lambda leaf: _resized(leaf, self._capacity), before)
        index = torch.tensor(rows, dtype=torch.long)
        _map(lambda kept, new: kept.index_copy_(0, index.to(kept.device), new), self._stored, state)
        return rows

    def take(self, rows: Sequence[int] | Tensor) -> S:
        """A copy of the state of ``rows``, which have been put."""
        assert self._stored is not None
        return select(self._stored, torch.as_tensor(rows, dtype=torch.long))

    def free(self, rows: Sequence[int]) -> None:
        """Give the places of ``rows`` back; their numbers are used again."""
        self._free.extend(rows)


def _resized(leaf: Tensor, rows: int) -> Tensor:
    # A bank may be made under inference_mode and used outside it; tensors made there could then
    # not be written to.
    with torch.inference_mode(False):
        larger = leaf.new_empty((rows, *leaf.shape[1:]))
    larger[: len(leaf)] = leaf
    return larger
