"""Linear discriminant analysis with shrinkage, rated on every image left out in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.closed_form.head import SHRINKAGES, Head, Metric
from lookcloser.closed_form.memory import Memory
from lookcloser.closed_form.spectrum import Inner, Products, Shrunken, Spectrum, shrunken, solved
from lookcloser.core.calibration import COLDEST, HOTTEST
from lookcloser.uncertainty import (
    Calibration,
    Expected,
    calibrate,
    cross_entropy,
    fit_temperature,
)

Array = NDArray[np.float64]
Classes = NDArray[np.int64]

_MANY = 20  # images a class, from which one fewer changes the temperature by a percent at most
_GAP, _SPREAD = 12.0, 1.0  # see `expected_temperature`
_TURNS = 1500  # images that may be left out of beforehand, in three turns at most


class LeftOut(NamedTuple):
    """What a discriminant says of each of its own images when it was solved without it.

    Attributes:
        scores: (N, C) discriminants; -inf for a class that has no other image.
        distances: (N, C) squared Mahalanobis distances to the means; inf likewise.
    """

    scores: Array
    distances: Array


class _Rated(NamedTuple):
    rating: float
    loss: float
    temperature: float
    matrix: Shrunken
    shrinkage: float
    left_out: LeftOut
    expected: Expected
    telling: NDArray[np.bool_]


def fit_discriminant(
    memory: Memory, *, shrinkages: Sequence[float] = SHRINKAGES, balanced: bool = False
) -> Head:
    """Solve the discriminant, with the shrinkage that says most of images left out.

    The covariance within classes is shrunk to a multiple of the identity (Friedman, 1989). Each
    candidate is rated by the cross-entropy of every kept image under the discriminant solved
    without it, at the temperature that is most probable for it, and by how probable that is: where
    all images are right by far, the one that need not be extreme to be so is the best. The head's
    own temperature is the one for all images, see `temperature_of_all`.

    Args:
        memory: Of images with one label each.
        shrinkages: The candidates, each above 0 and at most 1, in rising order.
        balanced: Whether all classes are held equally likely, rather than by their share.

    Raises:
        ValueError: For fewer than two classes, one without images, and features that are all the
            same.
    """
    per_class, means, total = _sums(memory)
    if len(per_class) < 2 or per_class.min() < 1:
        raise ValueError(f"images of {len(per_class)} classes: {per_class.astype(int).tolist()}")
    center = total / memory.count
    means = means - center
    rows, classes = memory.features.astype(np.float64) - center, memory.labels.argmax(axis=1)
    spectrum, degrees = _within(memory, rows - means[classes], means)
    priors = np.zeros(len(means)) if balanced else np.log(per_class / per_class.max())
    known = per_class[classes] > 1  # whose class is still there without it
    # One other image says little of what two would say.
    telling = per_class[classes[known]] > min(2, per_class.max() - 1)
    products = Products(spectrum, rows[known], means)
    best: _Rated | None = None
    for shrinkage in shrinkages if known.any() else shrinkages[-1:]:
        matrix = shrunken(spectrum, degrees, shrinkage)
        inner = products.under(matrix)
        expected = expected_temperature(inner.among, per_class)
        left_out = leave_one_out(inner, matrix, classes[known], per_class)
        rating, loss, temperature = np.nan, np.nan, min(expected.temperature, HOTTEST)
        if telling.any():
            scores, truth = left_out.scores[telling], classes[known][telling]
            temperature = fit_temperature(scores, truth, priors, expected)
            loss = cross_entropy(scores / temperature + priors, truth)
            rating = loss + expected.surprise(temperature) / len(truth)
        if best is None or rating < best.rating:
            found = temperature, matrix, shrinkage, left_out, expected, telling
            best = _Rated(rating, loss, *found)
    assert best is not None  # there is a candidate
    if telling.any():
        best = _of_all(best, memory, rows, classes, known, priors)
    return _head(best, spectrum, center, means, priors, classes[known])


def expected_temperature(among: Array, per_class: Array) -> Expected:
    """The temperature of a discriminant that is likely before any image is left out.

    At the one that is best for other images, the class of an image that the discriminant was solved
    from is some 12 nats above the mean of all classes: 8 to 20 in photographs of birds and of
    things, 4 to 11 in digits, with 1 to 30 images each of 5 to 50 classes.

    Args:
        among: (C, C) inner products μ A⁻¹ μ of the means.
        per_class: (C,) number of images.
    """
    lengths, shares = np.diag(among), per_class / per_class.sum()
    gap = shares @ (lengths - among.mean(axis=1)) - 0.5 * (shares @ lengths - lengths.mean())
    return Expected(max(float(gap) / _GAP, COLDEST), _SPREAD)


def _of_all(
    best: _Rated,
    memory: Memory,
    rows: Array,
    classes: Classes,
    known: NDArray[np.bool_],
    priors: Array,
) -> _Rated:
    """The same at the temperature for the discriminant of all images."""
    if memory.per_label.max() < 3:  # one that knows a single image of a class is another one
        return best._replace(temperature=min(best.expected.temperature, HOTTEST))
    if memory.statistics is not None:  # so many images that one fewer changes nothing
        return best
    scores, truth = best.left_out.scores, classes[known]
    plain = fit_temperature(scores, truth, priors)
    ratio = temperature_of_all(rows, classes, plain, best.shrinkage, priors) / plain
    if ratio == 1:
        return best
    temperature = fit_temperature(
        scores[best.telling] * ratio, truth[best.telling], priors, best.expected
    )
    return best._replace(temperature=temperature)


def temperature_of_all(
    rows: Array, classes: Classes, left_out: float, shrinkage: float, priors: Array
) -> float:
    """The temperature for a discriminant of all images.

    With few images a discriminant without one of them is noticeably worse, and its temperature too
    high. How fast it falls is seen by leaving out one image of each class beforehand: its logarithm
    is taken to be linear in the mean of 1 / k, k being the images that an image's class has left.

    Args:
        rows: (N, D) features.
        classes: (N,).
        left_out: The temperature for images left out one by one.
        shrinkage: Of the discriminant.
        priors: (C,) logarithms of the classes' shares.
    """
    per_class = np.bincount(classes, minlength=len(priors))
    if len(rows) >= _MANY * len(priors) or per_class.max() < 3 or not _is_inside(left_out):
        return left_out
    spare = np.flatnonzero(per_class > 2)
    places = [np.flatnonzero(classes == name) for name in spare]
    known = per_class[classes] > 1
    own = per_class[classes[known]]
    slopes = []
    for turn in range(min(3, max(1, _TURNS // len(rows)))):
        kept = np.ones(len(rows), dtype=np.bool_)
        kept[[place[turn % len(place)] for place in places]] = False
        fewer, inverse = _without(rows[kept], classes[kept], shrinkage, priors)
        if _is_inside(fewer):
            slopes.append(np.log(fewer / left_out) / (inverse - (1 / (own - 1)).mean()))
    rise = ((1 / (own - 1)) - 1 / own).mean()
    # More images never make answers less sure: what says so is chance.
    return left_out * float(np.exp(-max(np.mean(slopes or [0.0]), 0.0) * rise))


def _is_inside(temperature: float) -> bool:
    """Whether it was found between the ends of the search: images can be told, but not surely."""
    return 2 * COLDEST < temperature < HOTTEST / 2


def _without(rows: Array, classes: Classes, shrinkage: float, priors: Array) -> tuple[float, float]:
    """The temperature for images left out of these one by one, and their mean of 1 / k.

    The temperature is not a number where nothing varies.
    """
    per_class = np.bincount(classes, minlength=len(priors)).astype(np.float64)
    sums = np.zeros((len(priors), rows.shape[1]))
    np.add.at(sums, classes, rows)
    means = sums / per_class[:, None]
    spectrum = Spectrum.of_rows(rows - means[classes])
    known = per_class[classes] > 1
    if not len(spectrum.values):
        return float("nan"), float("nan")
    matrix = shrunken(spectrum, max(len(rows) - len(means), 1), shrinkage)
    inner = Products(spectrum, rows[known], means).under(matrix)
    scores = leave_one_out(inner, matrix, classes[known], per_class).scores
    inverse = float((1 / (per_class[classes[known]] - 1)).mean())
    return fit_temperature(scores, classes[known], priors), inverse


def leave_one_out(inner: Inner, matrix: Shrunken, classes: Classes, per_class: Array) -> LeftOut:
    """Scores and distances of each row from a discriminant without it, by a change of rank one.

    With d = x - μ_y of n images, leaving x out takes slope · n / (n - 1) · d dᵀ from A (Sherman and
    Morrison give its inverse) and moves μ_y by -d / (n - 1). The level and the degrees of freedom
    stay those of all images.

    Args:
        inner: Of the rows (N, D) and the means (C, D) under A.
        matrix: A.
        classes: (N,) of the rows, each of a class with two images or more.
        per_class: (C,) number of images.
    """
    own = np.arange(len(classes)), classes
    others = per_class[classes] - 1
    between, squares, among = inner  # x A⁻¹ μ, x A⁻¹ x, μ A⁻¹ μ
    lengths = np.diag(among)
    along = between - among[classes]  # μ A⁻¹ d
    across = squares - between[own]  # x A⁻¹ d
    gap = across - along[own]  # d A⁻¹ d
    weight = matrix.slope * (others + 1) / others
    gain = weight / np.maximum(1 - weight * gap, np.finfo(np.float64).eps)
    linear = between + (gain * across)[:, None] * along
    square = lengths + gain[:, None] * along**2
    moved = along[own] - gap / others
    linear[own] = between[own] - across / others + gain * moved * across
    ends = lengths[classes] - 2 * along[own] / others + gap / others**2
    square[own] = ends + gain * moved**2
    scores = linear - 0.5 * square
    lone = squares + gain * across**2
    return LeftOut(scores, np.maximum(lone[:, None] - 2 * scores, 0.0))


def _sums(memory: Memory) -> tuple[Array, Array, Array]:
    """(C,) images of each class, (C, D) their means, (D,) the sum of all."""
    known = memory.statistics
    if known is not None:
        return known.per_label, known.means, known.total
    wide, given = memory.features.astype(np.float64), memory.labels.astype(np.float64)
    per_class = given.sum(axis=0)
    return per_class, given.T @ wide / np.maximum(per_class, 1)[:, None], wide.sum(axis=0)


def _within(memory: Memory, deviations: Array, means: Array) -> tuple[Spectrum, int]:
    """Of the scatter within classes, and its degrees of freedom."""
    known, degrees = memory.statistics, memory.count - len(means)
    squares = memory.squares
    if known is None:
        spectrum = Spectrum.of_rows(deviations, squares)
    else:
        spectrum = Spectrum.of_scatter(known.within, squares)
    if not len(spectrum.values):  # nothing varies within a class; classes do among each other
        spectrum, degrees = Spectrum.of_rows(means, squares / memory.count), len(means) - 1
    if not len(spectrum.values):
        raise ValueError("all features are the same")
    return spectrum, max(degrees, 1)


def _head(
    best: _Rated,
    spectrum: Spectrum,
    center: Array,
    means: Array,
    priors: Array,
    classes: Classes,
) -> Head:
    weight = solved(spectrum, best.matrix, means)
    offsets = best.temperature * priors
    bias = offsets - 0.5 * (weight * means).sum(axis=1) - weight @ center
    gains = best.matrix.gains(spectrum)
    metric = Metric(center, spectrum.vectors.T, gains, best.matrix.level, offsets)
    calibration, accuracy = Calibration(best.temperature), float("nan")
    if len(classes):
        logits = best.left_out.scores + offsets
        nearest = best.left_out.distances.min(axis=1)
        calibration = calibrate(logits, classes, best.temperature, nearest)
        accuracy = float((logits.argmax(axis=1) == classes).mean())
    return Head(weight, bias, best.shrinkage, calibration, best.loss, accuracy, metric)
