"""Scores of a classifier from its logits or probabilities. NumPy arrays or CPU tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core import LookcloserError

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]


def topk_hits(scores: ArrayLike, targets: ArrayLike, k: int = 1) -> NDArray[np.bool_]:
    """Whether the true class is among the k best, for each image.

    Of equal scores the class with the lower index is the better one, as in ``argmax``. A true class
    whose score is NaN is never among the best.

    Args:
        scores: (N, C) logits or probabilities.
        targets: (N,) class indices.
        k: At least 1; every class counts from C on.

    Returns:
        (N,) booleans.

    Raises:
        LookcloserError: If shapes do not fit, there is no image, or a target is no class.
    """
    array, truth = _checked(scores, targets)
    if k < 1:
        raise LookcloserError(f"k = {k}", allowed="1 or more")
    own = np.take_along_axis(array, truth[:, None], axis=1)
    earlier = np.arange(array.shape[1]) < truth[:, None]
    better = (array > own) | ((array == own) & earlier)
    hits: NDArray[np.bool_] = (better.sum(axis=1) < k) & ~np.isnan(own[:, 0])
    return hits


def topk_accuracy(scores: ArrayLike, targets: ArrayLike, k: int = 1) -> float:
    """Share of images whose true class is among the k best. Arguments as in `topk_hits`."""
    return float(topk_hits(scores, targets, k).mean())


def confusion_matrix(predictions: ArrayLike, targets: ArrayLike, classes: int) -> Ints:
    """Counts (C, C): rows are true classes, columns predicted ones.

    Args:
        predictions: (N,) class indices.
        targets: (N,) class indices.
        classes: C.

    Raises:
        LookcloserError: If the lengths differ or an index is no class.
    """
    predicted = _indices(predictions, classes, "predictions")
    truth = _indices(targets, classes, "targets")
    if len(predicted) != len(truth):
        raise LookcloserError(f"{len(predicted)} predictions for {len(truth)} targets")
    counts = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def per_class(
    predictions: ArrayLike, targets: ArrayLike, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The scores of every class, by name.

    A share of nothing is NaN: the accuracy of a class with no image in the split, the precision of
    a class that was never predicted, the F1 of a class with neither.

    Args:
        predictions: (N,) class indices.
        targets: (N,) class indices.
        names: The class names by index.

    Returns:
        name -> "count" (true images), "accuracy" (share of them that is found: recall),
        "precision" and "f1".
    """
    confusion = confusion_matrix(predictions, targets, len(names))
    hits, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    columns = {
        "count": true.astype(np.float64),
        "accuracy": _share(hits, true),
        "precision": _share(hits, predicted),
        "f1": _share(2 * hits, true + predicted),
    }
    return {
        name: {score: float(values[index]) for score, values in columns.items()}
        for index, name in enumerate(names)
    }


def macro_f1(predictions: ArrayLike, targets: ArrayLike, classes: int) -> float:
    """Mean F1 of the classes that occur among the predictions or the targets.

    A class that was predicted without being in the split counts with 0; one with neither is left
    out. This is the convention of scikit-learn and torchmetrics.

    Args:
        predictions: (N,) class indices.
        targets: (N,) class indices.
        classes: The number of classes.
    """
    confusion = confusion_matrix(predictions, targets, classes)
    f1 = _share(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))
    return float(np.nanmean(f1))


def reliability(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = 15
) -> tuple[tuple[float, float, int], ...]:
    """Confidence beside accuracy: one row (mean confidence, accuracy, count) per filled bin.

    The confidence is the highest probability of an image. Bins are of equal width over [0, 1],
    open below and closed above, in ascending order.

    Args:
        probabilities: (N, C).
        targets: (N,) class indices.
        bins: How many.

    Raises:
        LookcloserError: If a confidence is outside [0, 1], or as in `topk_hits`.
    """
    array, truth = _checked(probabilities, targets)
    return confidence_bins(array.max(axis=1), array.argmax(axis=1) == truth, bins)


def confidence_bins(
    confidences: ArrayLike, hits: ArrayLike, bins: int = 15
) -> tuple[tuple[float, float, int], ...]:
    """As `reliability`, of the highest probability of each image and whether it was right.

    Args:
        confidences: (N,)
        hits: (N,) booleans.
        bins: How many.

    Raises:
        LookcloserError: If a confidence is outside [0, 1].
    """
    confidence, hits = np.asarray(confidences, dtype=np.float64), np.asarray(hits, dtype=bool)
    if not np.all((confidence >= 0) & (confidence <= 1)):
        raise LookcloserError(
            f"a highest probability of {confidence.max()}",
            allowed="Probabilities from 0 to 1",
            fix="Apply softmax to logits first",
        )
    number = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
    rows = ((confidence[members], hits[members]) for members in map(number.__eq__, range(bins)))
    return tuple((float(c.mean()), float(h.mean()), len(c)) for c, h in rows if len(c))


def expected_calibration_error(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = 15
) -> float:
    """Mean distance of confidence and accuracy over the bins of `reliability`, by their counts.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.
    """
    return calibration_error(reliability(probabilities, targets, bins))


def calibration_error(rows: Sequence[tuple[float, float, int]]) -> float:
    """`expected_calibration_error` from the rows of `reliability`."""
    total = sum(count for *_, count in rows)
    return sum(count * abs(sure - right) for sure, right, count in rows) / total


def least_calibration_error(rows: Sequence[tuple[float, float, int]]) -> float:
    """What `calibration_error` is on average where confidences are right: of few images, not zero.

    The right answers of a bin are taken to be binomial at its mean confidence p. Their mean
    distance from n p is de Moivre's, 2 v C(n, v) pᵛ (1 - p)ⁿ⁻ᵛ⁺¹ with v = ⌊n p⌋ + 1.

    Args:
        rows: Of `reliability`, one or more.
    """
    total = sum(count for *_, count in rows)
    return sum(_mean_distance(sure, count) for sure, _, count in rows) / total


def _mean_distance(chance: float, count: int) -> float:
    """Of a binomial number from its mean."""
    if not 0 < chance < 1:
        return 0.0
    above = min(math.floor(count * chance) + 1, count)
    ways = math.lgamma(count + 1) - math.lgamma(above + 1) - math.lgamma(count - above + 1)
    likely = above * math.log(chance) + (count - above + 1) * math.log1p(-chance)
    return 2 * above * math.exp(ways + likely)


def bootstrap_interval(
    values: ArrayLike, seed: int = 0, n: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of ``values`` over ``n`` samples drawn with replacement.

    Of booleans that are all alike every such sample is the same and says nothing; then it is the
    exact interval of a share (Clopper and Pearson 1934): of 13 hits of 13 images 0.75 to 1.

    Args:
        values: (N,) one value per image, for instance `topk_hits`.
        seed: Of the generator.
        n: How many samples are drawn.
        level: The share of samples inside the interval.

    Returns:
        Its lower and upper end.
    """
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if not array.size:
        raise LookcloserError("no values", allowed="One value or more")
    size = len(array)
    if np.asarray(values).dtype == bool and array.min() == array.max():
        beyond = float(((1 - level) / 2) ** (1 / size))
        return (beyond, 1.0) if array[0] else (0.0, 1.0 - beyond)
    generator = np.random.default_rng(seed)
    means = [array[generator.integers(size, size=size)].mean() for _ in range(n)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _share(part: Ints, whole: Ints) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=shares, where=whole > 0)


def _checked(scores: ArrayLike, targets: ArrayLike) -> tuple[Floats, Ints]:
    array = np.asarray(scores)
    if array.ndim != 2 or not array.size:
        raise LookcloserError(f"scores of shape {array.shape}", allowed="(N, C), neither of them 0")
    truth = _indices(targets, array.shape[1], "targets")
    if len(truth) != len(array):
        raise LookcloserError(f"{len(array)} rows of scores for {len(truth)} targets")
    return array, truth


def _indices(values: ArrayLike, classes: int, name: str) -> Ints:
    array = np.asarray(values).reshape(-1)
    if not array.size:
        raise LookcloserError(f"no {name}", allowed="One image or more")
    outside = (array < 0) | (array >= classes)
    if outside.any():
        raise LookcloserError(
            f"{array[outside][0]} among the {name}", allowed=f"Class indices 0 to {classes - 1}"
        )
    return array.astype(np.int64)
