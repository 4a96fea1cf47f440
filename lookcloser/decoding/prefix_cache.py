"""Recurrent states shared by all images, for models whose recurrence does not see the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from lookcloser.decoding.arrays import arrays_of
from lookcloser.decoding.states import StateBank, leaves, row_count, tokens_for
from lookcloser.decoding.types import Integers, S

C = TypeVar("C")


class CachedState(NamedTuple, Generic[C]):
    """The decoder state of a `PrefixCache`.

    Attributes:
        context: What the readout knows of each image: an array, or a tuple or dict of them.
        prefix: (n,) int64 in NumPy, the number of each row's prefix.
    """

    context: C
    prefix: Integers


class PrefixCache(Generic[S, C]):
    """A decoder step that computes the recurrence once per prefix instead of once per image.

    In the CNN-RNN model (Wang et al., CVPR 2016) the image is outside the recurrence: the state
    depends on the labels so far alone. Images share most of their prefixes, so most recurrent steps
    are looked up.

    The cache lives as long as the object: use one for all images of a run, and a new one after the
    weights have changed. It keeps a state and an output for every prefix that was ever reached.

    Args:
        cell: ``cell(state, tokens (n,)) -> (outputs (n, D), state)``, one step of the recurrence.
            What needs no image belongs into the outputs, projections included.
        root: The state before START, with a leading dimension of 1.
        readout: ``readout(outputs (n, D), context) -> log_probs (n, V)``.
        prepare: The part of the cell that does not depend on the token, usually the product with
            the recurrent weights: its result is what ``cell`` gets in place of the state. It is
            computed once per prefix however many tokens follow, and never for one that ends.

    Example:
        A step for any decoder, ``features`` having one row per image::

            cache = PrefixCache(cell, root, readout)
            beams = beam_search(cache, cache.state(features), start=81, end=80, beam_size=5,
                                max_length=10, mask_repeats=True)
    """

    def __init__(
        self,
        cell: Callable[[Any, Any], tuple[Any, S]],
        root: S,
        readout: Callable[[Any, C], Any],
        prepare: Callable[[S], Any] | None = None,
    ) -> None:
        self._cell, self._readout = cell, readout
        self._root, self._arrays = root, arrays_of(next(leaves(root)))
        # A prefix has a number: 0 for the root, which has a state and no output. Output i is that
        # of prefix i + 1.
        self._states: StateBank[S] = StateBank()
        self._states.put(root)
        self._outputs = _Memo(self._extend)
        self._prepared = (
            None if prepare is None else _Memo(lambda rows: prepare(self._states.take(rows)))
        )

    def __len__(self) -> int:
        """The number of prefixes that were computed."""
        return len(self._outputs)

    def state(self, context: C) -> CachedState[C]:
        """The state to start a search from; ``context`` has one row per image."""
        return CachedState(context, np.zeros(row_count(context), dtype=np.int64))

    def __call__(self, state: CachedState[C], tokens: Any) -> tuple[Any, CachedState[C]]:
        """One decoder step: see `lookcloser.decoding.types.Step`."""
        with self._arrays.without_gradients():
            rows = self._outputs.rows((state.prefix << 32) | arrays_of(tokens).numpy(tokens))
            log_probs = self._readout(self._outputs.bank.take(rows), state.context)
        return log_probs, CachedState(state.context, rows + 1)

    def _extend(self, pairs: Integers) -> Any:
        """Outputs of new prefixes; a pair is the number of a prefix and a token in one integer."""
        before, tokens = pairs >> 32, tokens_for(self._root, pairs & 0xFFFFFFFF)
        if self._prepared is None:
            outputs, state = self._cell(self._states.take(before), tokens)
        else:
            rows = self._prepared.rows(before)
            outputs, state = self._cell(self._prepared.bank.take(rows), tokens)
        self._states.put(state)
        return outputs


class _Memo:
    """Rows of a bank by integer key; those that are missing are computed together."""

    def __init__(self, compute: Callable[[Integers], Any]) -> None:
        self.bank: StateBank[Any] = StateBank()
        self._compute = compute
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, keys: Integers) -> Integers:
        """The rows (n,) of ``keys`` (n,)."""
        distinct, places = np.unique(keys, return_inverse=True)
        wanted: list[int] = distinct.tolist()
        missing = [key for key in wanted if key not in self._rows]
        if missing:
            computed = self.bank.put(self._compute(np.array(missing, dtype=np.int64)))
            self._rows.update(zip(missing, computed, strict=True))
        return np.array([self._rows[key] for key in wanted], dtype=np.int64)[places]
