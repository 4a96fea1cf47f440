"""How good probabilities and sets are, and how good they could look on so few test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import betabinom, t

from lookcloser.metrics.classification import calibration_error, confidence_bins
from lookcloser.uncertainty import fit_temperature, softmax

Rows = Sequence[tuple[float, float, int]]
ASKED, NEAR = 0.95, 0.015  # coverage, and how near to it a split shall be
DRAWS = 200  # of labels from the model's own probabilities


def calibration_row(
    logits: NDArray[np.float64], truth: NDArray[np.int64], temperature: float
) -> dict[str, float]:
    """Calibration errors in one row: as measured, and what of it is the measure's own.

    Args:
        logits: (N, C).
        truth: (N,).
        temperature: Of the model.
    """
    shares = softmax(logits / temperature)
    best = fit_temperature(logits, truth)  # the bar of any other
    return {
        "ece": plain_error(shares, truth),
        "ece of right probabilities": least_error(shares),
        "ece at the best temperature": plain_error(softmax(logits / best), truth),
        "debiased": debiased_error(shares, truth),
        "temperature over the best": temperature / best,
    }


def plain_error(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Over 15 bins, as Guo et al. (2017)."""
    return calibration_error(_bins(shares, truth))


def least_error(shares: NDArray[np.float64], draws: int = DRAWS) -> float:
    """What would be measured if the probabilities were right: of so many images it is not zero.

    The mean over labels drawn from the model's own probabilities.
    """
    rng = np.random.default_rng(0)
    surest = shares.max(axis=1)
    hits = rng.random((draws, len(surest))) < surest
    return float(np.mean([calibration_error(confidence_bins(surest, row)) for row in hits]))


def debiased_error(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The root of the mean squared distance of confidence and accuracy, without what chance adds.

    Kumar et al., Verified Uncertainty Calibration, NeurIPS 2019: from each bin's square its
    accuracy's variance is taken. Squares weigh more than distances: it is above an unbiased ECE.
    """
    total = 0.0
    for sure, right, count in _bins(shares, truth):
        chance = right * (1 - right) / (count - 1) if count > 1 else (sure - right) ** 2
        total += count * ((sure - right) ** 2 - chance)
    return float(np.sqrt(max(total / len(truth), 0.0)))


def _bins(shares: NDArray[np.float64], truth: NDArray[np.int64]) -> Rows:
    return confidence_bins(shares.max(axis=1), shares.argmax(axis=1) == truth)


def coverage_row(shares: Sequence[float], known: int, new: int) -> dict[str, float]:
    """Coverages of several splits, beside those of a method that keeps its promise exactly.

    Its quantile comes from ``known`` images, and ``new`` ones count: how many of those are covered
    is beta-binomial (Vovk, 2012).

    Args:
        shares: (S,) the coverage of each split.
        known: Images that set the quantile.
        new: Images that are counted.
    """
    found = np.array(shares)
    rank = int(np.ceil(np.round((known + 1) * ASKED, 9)))
    exact = betabinom(new, rank, known + 1 - rank)
    low, high = np.ceil((ASKED - NEAR) * new), np.floor((ASKED + NEAR) * new)
    inside = float(exact.cdf(high) - exact.cdf(low - 1))
    half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5
    return {
        "mean": float(found.mean()),
        "95 % interval of the mean, from": float(found.mean() - half),
        "to": float(found.mean() + half),
        "lowest": float(found.min()),
        "highest": float(found.max()),
        "standard deviation": float(found.std(ddof=1)),
        "splits": len(found),
        "within 1.5 points": int((np.abs(found - ASKED) <= NEAR).sum()),
        "exact: standard deviation": float(exact.std() / new),
        "exact: splits within, expected": inside * len(found),
        "exact: chance that all are": inside ** len(found),
    }
