"""What decoders take and give back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

S = TypeVar("S")
"""A decoder state: an array or a tensor, or a tuple or dict (nested at will) of them, all with one
row per sequence in dimension 0."""

Step = Callable[[S, Any], tuple[Any, S]]
"""``step(state, tokens (n,)) -> (log_probs (n, V), state)`` feeds one token to each of n sequences.

Tokens and log-probabilities are arrays of NumPy or tensors of torch, as the state's first is.
``log_probs`` are natural logarithms of the next token's probabilities, so none is above 0; -inf
rules a token out. The first call gets START for every image and the state as the caller gave it;
later calls get rows picked from the states that earlier calls returned. The result for one row must
not depend on the other rows.
"""


class Hypothesis(NamedTuple):
    """A decoded sequence.

    Attributes:
        tokens: Without START and END. As ``max_length`` counts END, ``max_length`` tokens mean that
            the sequence did not end.
        log_prob: Sum of the log-probabilities of the tokens, and of END where the sequence ended.
    """

    tokens: tuple[int, ...]
    log_prob: float


class SearchResult(NamedTuple):
    """The answer of an exact search.

    Attributes:
        tokens: Without START and END.
        log_prob: As in `Hypothesis`.
        certified: Whether no other sequence is more probable. False where the node budget ran out
            first.
        bound: No sequence has a log-probability above this; equals ``log_prob`` where certified.
    """

    tokens: tuple[int, ...]
    log_prob: float
    certified: bool
    bound: float


class Arrays(Protocol):
    """What is done to one kind of array; ``array`` is always of that kind."""

    def like(self, values: NDArray[Any], array: Any) -> Any:
        """``values`` as an array of this kind, where ``array`` is."""

    def of(self, values: NDArray[Any]) -> Any:
        """``values`` as an array of this kind on the CPU."""

    def numpy(self, array: Any) -> NDArray[Any]:
        """``array`` in NumPy, on the CPU; half precision as float32."""

    def select(self, array: Any, rows: Integers) -> Any:
        """``rows`` (n,) of an array, in that order."""

    def resized(self, array: Any, rows: int) -> Any:
        """A new array of ``rows`` rows that begins with those of ``array``."""

    def write(self, array: Any, rows: Integers, values: Any) -> None:
        """Put ``values`` into ``rows`` of an array, in place."""

    def masked(self, array: Any, columns: Integers) -> Any:
        """A copy of (n, V) with -inf in each row's ``columns`` (n, t)."""

    def topk(self, array: Any, count: int) -> tuple[Any, Any]:
        """The ``count`` highest values of each row of (n, V), best first, and their columns."""

    def maxima(self, array: Any, block: int) -> Any:
        """(n, V) -> (n, V // block), the highest value of each whole block of columns."""

    def gather(self, array: Any, columns: Any) -> Any:
        """The values (n, k) of each row's ``columns`` (n, k)."""

    def concatenate(self, parts: Sequence[Any]) -> Any:
        """(n, a), (n, b), … -> (n, a + b + …)."""

    def without_gradients(self) -> AbstractContextManager[Any]:
        """A context in which nothing is recorded for a backward pass."""
