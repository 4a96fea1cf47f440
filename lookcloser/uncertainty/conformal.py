"""Conformal sets: the labels that may be true, with a promised share of images whose truth is in.

The promise holds for new images drawn like those that set the quantile, whatever the model.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.calibration import EVERY_LABEL

Array = NDArray[np.float64]
Sets = NDArray[np.bool_]
Method = Literal["lac", "aps"]

_EPS = 1e-8  # what sums of probabilities lose to rounding


def lac_scores(probabilities: NDArray[np.floating], targets: NDArray[np.int64]) -> Array:
    """(N,) one minus the probability of the truth (Sadinle et al., 2019)."""
    scores: Array = 1 - probabilities[np.arange(len(targets)), targets].astype(np.float64)
    return scores


def aps_scores(
    probabilities: NDArray[np.floating],
    targets: NDArray[np.int64],
    uniform: NDArray[np.floating] | None = None,
) -> Array:
    """(N,) probability of the truth and all that is more probable (Romano et al., 2020).

    Args:
        probabilities: (N, C).
        targets: (N,).
        uniform: (N,) in [0, 1]: the share of the truth's own probability that is taken off, drawn
            at random in the paper; none is by default.
    """
    cumulated = _cumulated(probabilities.astype(np.float64))
    rows = np.arange(len(targets))
    scores: Array = cumulated[rows, targets]
    if uniform is not None:
        scores = scores - uniform * probabilities[rows, targets]
    return scores


def conformal_quantile(scores: NDArray[np.floating], coverage: float) -> float:
    """The ⌈(N + 1) · coverage⌉-th smallest score; `EVERY_LABEL` where N is too small for it.

    Args:
        scores: (N,) of images that did not train the model.
        coverage: The promised share, in (0, 1).
    """
    # Rounding must not make 0.95 · 20 a little more than 19.
    rank = int(np.ceil(np.round((len(scores) + 1) * coverage, 9)))
    if rank > len(scores):
        return EVERY_LABEL
    return float(np.partition(scores, rank - 1)[rank - 1])


def lac_sets(probabilities: NDArray[np.floating], quantile: float) -> Sets:
    """(N, C) whose probability is at least 1 - quantile; may be empty, the smallest on average."""
    sets: Sets = 1 - probabilities.astype(np.float64) - quantile <= _EPS
    return sets


def aps_sets(probabilities: NDArray[np.floating], quantile: float) -> Sets:
    """(N, C) the most probable labels until their probabilities reach the quantile.

    The label that reaches it is in the set, which is never empty and covers more than promised.
    """
    wide = probabilities.astype(np.float64)
    before = _cumulated(wide) - wide
    sets: Sets = before < quantile - _EPS
    sets |= wide == wide.max(axis=1, keepdims=True)
    return sets


def _cumulated(probabilities: Array) -> Array:
    """(N, C) each label's probability and that of all labels ranked before it."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    cumulated = np.empty_like(sums)
    np.put_along_axis(cumulated, order, sums, axis=1)
    return cumulated
