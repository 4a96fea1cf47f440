"""The tree of paths as searches see it that extend one path of every image per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.decoding.states import StateBank
from lookcloser.decoding.steps import advance, check_log_probs, masked, numbers
from lookcloser.decoding.types import S, Step


class Node(NamedTuple):
    """A path that has not ended. Nodes compare by cost, then length, then tokens.

    Attributes:
        cost: Minus the log-probability of the path.
        length: The number of its tokens.
        tokens: Without START.
        row: Where a `StateBank` holds the state that the last token has yet to be fed to.
    """

    cost: float
    length: int
    tokens: tuple[int, ...]
    row: int

    def child(self, token: int, log_prob: float, row: int) -> Node:
        """This path and one more token."""
        return Node(self.cost - log_prob, self.length + 1, (*self.tokens, token), row)


def expand(
    step: Step[S], bank: StateBank[S], nodes: Sequence[Node], start: int, mask_repeats: bool
) -> tuple[NDArray[Any], list[int]]:
    """One call of ``step`` for all ``nodes``.

    Returns:
        Log-probabilities (n, V) of what comes next, and the rows of ``bank`` with the new states.
    """
    last = np.array([node.tokens[-1] if node.tokens else start for node in nodes])
    state = bank.take([node.row for node in nodes])
    found, after = advance(step, state, last)
    log_probs = numbers(found)
    check_log_probs(log_probs.max(axis=1))
    if mask_repeats:
        log_probs = _without_repeats(log_probs, nodes)
    return log_probs, bank.put(after)


def _without_repeats(log_probs: NDArray[Any], nodes: Sequence[Node]) -> NDArray[Any]:
    longest = max(node.length for node in nodes)
    if longest == 0:
        return log_probs
    # The paths differ in length, but roots come alone: a shorter path repeats its first token.
    paths = [node.tokens + node.tokens[:1] * (longest - node.length) for node in nodes]
    without: NDArray[Any] = masked(log_probs, np.array(paths))
    return without
