"""Exact decoding: best-first search with a certificate."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.decoding.nodes import Node, expand
from lookcloser.decoding.states import StateBank, quietly
from lookcloser.decoding.steps import check_limits
from lookcloser.decoding.types import S, SearchResult, Step


class _Search:
    """The open paths of one image, and the best that it has found."""

    def __init__(self, row: int, max_length: int, node_budget: float) -> None:
        root = Node(0.0, 0, (), row)
        self.rows = [row]
        self._open = [root]
        self._best: tuple[float, int, tuple[int, ...]] | None = None
        self._longest = root
        self._max_length = max_length
        self._budget = node_budget

    @property
    def _certified(self) -> bool:
        """Nothing open can still lead to a better sequence."""
        return not self._open or (self._best is not None and self._open[0] >= self._best)

    @property
    def running(self) -> bool:
        return not self._certified and self._budget > 0

    def pop(self) -> Node:
        self._budget -= 1
        return heapq.heappop(self._open)

    def end(self, node: Node, log_prob: float) -> None:
        """``node`` ends, END having this log-probability."""
        found = (node.cost - log_prob, node.length, node.tokens)
        if log_prob > -math.inf and (self._best is None or found < self._best):
            self._best = found

    def worthwhile(self, node: Node) -> float:
        """The log-probability that a token after ``node`` needs to be of any use, a little less.

        It spares `grow`, which decides, the bulk of a large vocabulary.
        """
        if self._best is None:
            return -math.inf
        if node.length + 1 >= self._max_length:
            return math.inf
        slack = 1e-6 * (1.0 + self._best[0])  # rounding, also to float32
        return node.cost - self._best[0] - slack

    def grow(self, node: Node, token: int, log_prob: float, row: int) -> None:
        """``node`` goes on with ``token``, unless that is of no use."""
        child = node.child(token, log_prob, row)
        if self._best is None:
            self._longest = min(self._longest, child, key=lambda path: (-path.length, path))
        elif child >= self._best:
            return
        if child.length < self._max_length:  # which counts END
            heapq.heappush(self._open, child)

    def result(self) -> SearchResult:
        cost, _, tokens = self._best or self._longest[:3]
        log_prob = 0.0 - cost
        bound = log_prob if self._certified else max(log_prob, -self._open[0].cost)
        return SearchResult(tokens, log_prob, self._certified, bound)


@quietly
def best_first_search(
    step: Step[S],
    state: S,
    *,
    start: int,
    end: int,
    max_length: int,
    mask_repeats: bool = False,
    node_budget: int | None = None,
) -> list[SearchResult]:
    """The most probable sequence of each image, with a proof.

    A path only loses probability as it grows, so once a sequence has ended that is at least as
    probable as every open path, nothing better is left. The most probable open path is always the
    next to be extended (Dijkstra's algorithm on the tree of paths). One call of ``step`` extends
    one path of every image that is not done.

    Of equally probable sequences the shortest is returned, of those the one with the smaller tokens
    in lexicographic order, so that the result is unique.

    Args:
        step: See `Step`.
        state: One row per image. The states of all extended paths of an image are kept until it is
            done; a large constant belongs behind an index in the state rather than in it.
        start: Fed to the first call; never part of a result.
        end: Ends a sequence. Outside the vocabulary it never occurs; then the whole tree is
            searched.
        max_length: The longest sequence, END included.
        mask_repeats: Rule out the tokens that are on the path already, without rescaling the rest.
        node_budget: Extend at most this many paths per image.

    Returns:
        Per image a result. Where no sequence ends within ``max_length``, it is the most probable of
        the longest unfinished ones. Where the budget ran out, it is the best of what was seen, by
        the same rule, and the result says that it is not certified.

    Raises:
        LookcloserError: For a limit below 1, a state of another kind, or values that are not
            log-probabilities.
    """
    check_limits(max_length=max_length, node_budget=node_budget)
    bank: StateBank[S] = StateBank()
    budget = math.inf if node_budget is None else node_budget
    searches = [_Search(row, max_length, budget) for row in bank.put(state)]
    running = searches
    while running:
        nodes = [search.pop() for search in running]
        log_probs, rows = expand(step, bank, nodes, start, mask_repeats)
        _extend(running, nodes, log_probs, rows, end)
        going = []
        for search, row in zip(running, rows, strict=True):
            search.rows.append(row)
            if search.running:
                going.append(search)
            else:
                bank.free(search.rows)
        running = going
    return [search.result() for search in searches]


def _extend(
    searches: Sequence[_Search],
    nodes: Sequence[Node],
    log_probs: NDArray[Any],
    rows: Sequence[int],
    end: int,
) -> None:
    """Give each search the end and the useful continuations of its node; ``log_probs`` (n, V)."""
    may_end = 0 <= end < log_probs.shape[1]
    if may_end:
        for search, node, log_prob in zip(searches, nodes, _floats(log_probs[:, end]), strict=True):
            search.end(node, log_prob)
    least = [search.worthwhile(node) for search, node in zip(searches, nodes, strict=True)]
    # In the type of the log-probabilities: where they are rounded, so is what they must reach.
    keep = log_probs >= np.array(least, dtype=log_probs.dtype)[:, None]
    keep &= log_probs > -np.inf
    if may_end:
        keep[:, end] = False
    owners, tokens = (index.tolist() for index in keep.nonzero())
    for owner, token, log_prob in zip(owners, tokens, _floats(log_probs[keep]), strict=True):
        searches[owner].grow(nodes[owner], token, log_prob, rows[owner])


def _floats(log_probs: NDArray[Any]) -> list[float]:
    floats: list[float] = np.minimum(log_probs.astype(np.float64), 0.0).tolist()
    return floats
