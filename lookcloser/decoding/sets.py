"""From label sequences to label sets: probabilities of sets and of single labels."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.decoding.arrays import arrays_of
from lookcloser.decoding.nodes import Node, expand
from lookcloser.decoding.states import StateBank, leaves, quietly
from lookcloser.decoding.steps import best_tokens, check_limits
from lookcloser.decoding.types import Hypothesis, S, Step


def set_probabilities(hypotheses: Iterable[Hypothesis]) -> dict[frozenset[int], float]:
    """The probability of each label set among the hypotheses of one image, the likeliest first.

    A set may be written in several orders; their probabilities are added, each order's once. What
    was not explored is missing, so each value is a lower bound.
    """
    probabilities: dict[frozenset[int], float] = {}
    for tokens, log_prob in dict(hypotheses).items():
        labels = frozenset(tokens)
        probabilities[labels] = probabilities.get(labels, 0.0) + math.exp(log_prob)
    ranked = sorted(probabilities.items(), key=lambda item: (-item[1], sorted(item[0])))
    return dict(ranked)


@quietly
def label_marginals(
    step: Step[S], state: S, *, start: int, end: int, max_length: int, node_budget: int
) -> Any:
    """How probable each label is to be in the set of each image, for ranking (mAP).

    The most probable path says which labels are in; this says how sure that is. A label comes at
    most once, so the events "it follows right after this path" exclude each other over paths, and
    the probability of the label is the sum of ``P(path) P(label | path)`` over all paths. The sum
    runs over the ``node_budget`` most probable paths of each image: a lower bound that grows with
    the budget and is exact once every path is explored. A budget of 1 gives the scores of the
    first step.

    Args:
        step: See `Step`; labels that are on the path are masked, without rescaling the rest.
        state: One row per image.
        start: Fed to the first call.
        end: Ends a sequence.
        max_length: The longest sequence, END included; a label in its place counts too.
        node_budget: Extend at most this many paths per image.

    Returns:
        (images, V) float64 on the CPU, in [0, 1], NumPy's or torch's as the state is. The column of
        END holds the probability of the explored sequences that end.

    Raises:
        LookcloserError: For a limit below 1, a state of another kind, or values that are not
            log-probabilities.
    """
    check_limits(max_length=max_length, node_budget=node_budget)
    bank: StateBank[S] = StateBank()
    fronts = [[Node(0.0, 0, (), row)] for row in bank.put(state)]
    marginals = np.zeros((len(fronts), 0))
    for left in reversed(range(node_budget)):
        owners = [image for image, front in enumerate(fronts) if front]
        if not owners:
            break
        nodes = [heapq.heappop(fronts[image]) for image in owners]
        log_probs, rows = expand(step, bank, nodes, start, mask_repeats=True)
        if not marginals.size:
            marginals = np.zeros((len(fronts), log_probs.shape[1]))
        reached = np.array([-node.cost for node in nodes])
        marginals[owners] += np.exp(reached[:, None] + log_probs.astype(np.float64))
        # Of one path's children no more can have their turn than the budget has turns left.
        for image, children in zip(
            owners, _children(nodes, log_probs, rows, end, left), strict=True
        ):
            for child in children:
                if child.length < max_length:
                    heapq.heappush(fronts[image], child)
    return arrays_of(next(leaves(state))).of(marginals)


def _children(
    nodes: Sequence[Node], log_probs: NDArray[Any], rows: Sequence[int], end: int, count: int
) -> list[list[Node]]:
    """At least the ``count`` most probable continuations of each node, as far as there are any."""
    values, tokens = best_tokens(log_probs, count + 1)  # END may be among them
    return [
        [
            node.child(token, log_prob, row)
            for token, log_prob in zip(*best, strict=True)
            if token != end and log_prob > -math.inf
        ]
        for node, row, *best in zip(nodes, rows, tokens.tolist(), values.tolist(), strict=True)
    ]
