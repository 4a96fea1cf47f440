"""What decoders take and give back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

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
