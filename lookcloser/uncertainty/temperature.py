"""Temperature scaling: one number that makes probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.calibration import COLDEST, HOTTEST

Array = NDArray[np.float64]

_STEPS = 32  # of the golden section: T to a relative 3e-6


def log_softmax(logits: NDArray[np.floating]) -> Array:
    """(N, C) logits -> logarithms of probabilities, in float64; -inf stays."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def softmax(logits: NDArray[np.floating]) -> Array:
    """(N, C) logits -> probabilities, in float64."""
    probabilities: Array = np.exp(log_softmax(logits))
    return probabilities


def cross_entropy(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    """Mean negative log-probability of the classes ``targets`` (N,) under softmax, in nats."""
    return float(-log_softmax(logits)[np.arange(len(targets)), targets].mean())


def binary_cross_entropy(logits: NDArray[np.floating], targets: NDArray[np.bool_]) -> float:
    """Mean over all tags (N, C) of the negative log-probability under sigmoid, in nats."""
    signed = np.where(targets, logits, -logits).astype(np.float64)
    return float(np.logaddexp(0.0, -signed).mean())


class Expected(NamedTuple):
    """What is known of a temperature before any image is asked.

    Its logarithm has a Cauchy distribution: images that say something else altogether are believed.

    Attributes:
        temperature: Its median, above 0.
        spread: By how much its logarithm is off, in half of all cases.
    """

    temperature: float
    spread: float

    def surprise(self, temperature: float) -> float:
        """The negative log-probability density of a temperature's logarithm, above the lowest."""
        away = float(np.log(temperature / self.temperature)) / self.spread
        return float(np.log1p(away**2))


# Of a network that was trained by cross-entropy: it was taught at 1. So weak that it decides alone
# where all images are right by far; 500 of them move it by a thousandth.
OF_A_NETWORK = Expected(1.0, 3.0)


def fit_temperature(
    logits: NDArray[np.floating],
    targets: NDArray[np.int64],
    offset: NDArray[np.floating] | float = 0.0,
    expected: Expected | None = None,
) -> float:
    """The T at which ``softmax(logits / T + offset)`` has the lowest cross-entropy.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017. The images must not have
    trained what gave the logits. Where all of them are right by far, that T is 0: a few images
    would make a model sure of everything. What is expected of it stands against that.

    Args:
        logits: (N, C), N at least 1; -inf for a class that is out of the question.
        targets: (N,) classes with a finite logit.
        offset: (C,) what is not to be scaled, e.g. logarithms of the classes' shares.
        expected: Of T; the most probable T is found then, given the images.

    Returns:
        T between 0.001 and 1,000; the lowest where all images are right by far and nothing is
        expected.
    """

    def loss(t: float) -> float:
        known = 0.0 if expected is None else expected.surprise(t) / len(targets)
        return cross_entropy(logits / t + offset, targets) + known

    return _coolest(loss)


def fit_tag_temperature(
    logits: NDArray[np.floating],
    targets: NDArray[np.bool_],
    offset: NDArray[np.floating] | float = 0.0,
    expected: Expected | None = None,
) -> float:
    """As `fit_temperature` for tags: ``sigmoid(logits / T + offset)``, targets (N, C)."""

    def loss(t: float) -> float:
        known = 0.0 if expected is None else expected.surprise(t) / targets.size
        return binary_cross_entropy(logits / t + offset, targets) + known

    return _coolest(loss)


def _coolest(loss: Callable[[float], float]) -> float:
    """The T with the lowest loss, by golden section over log T; a loss convex in 1 / T."""

    def at(log_temperature: float) -> float:
        return loss(float(np.exp(log_temperature)))

    ratio = (5**0.5 - 1) / 2
    low, high = float(np.log(COLDEST)), float(np.log(HOTTEST))
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = at(left), at(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = at(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = at(right)
    return float(np.exp((low + high) / 2))
