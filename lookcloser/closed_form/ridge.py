"""Ridge regression for tags, one for each label, rated on every image left out in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookcloser.closed_form.head import SHRINKAGES, Head
from lookcloser.closed_form.memory import Memory
from lookcloser.closed_form.spectrum import Spectrum, shrunken, solved
from lookcloser.uncertainty import (
    Calibration,
    Expected,
    binary_cross_entropy,
    fit_tag_temperature,
)

Array = NDArray[np.float64]

_SPREAD = 1.0  # see `expected_temperature`


def fit_ridge(memory: Memory, *, shrinkages: Sequence[float] = SHRINKAGES) -> Head:
    """Solve one ridge regression to 0 and 1 for each label, with a shrinkage common to all.

    What a regression says above a label's share π, divided by π (1 - π), is a log-odds up to a
    scale that all labels share; the temperature is that scale, and the log-odds of π are added
    unscaled. Shrinkage and temperature are those with the lowest cross-entropy of images left out,
    and by how probable such a temperature is, see `expected_temperature`.

    Args:
        memory: Of images with any number of labels each.
        shrinkages: The candidates, each above 0 and at most 1.

    Raises:
        ValueError: For features that are all the same.
    """
    known = memory.all_statistics()
    center = known.total / known.count
    rows = memory.features.astype(np.float64) - center
    spectrum = (
        Spectrum.of_rows(rows, memory.squares)
        if memory.statistics is None
        else Spectrum.of_scatter(known.around_mean, memory.squares)
    )
    if not len(spectrum.values):
        raise ValueError("all features are the same")
    shares = (known.per_label + 0.5) / (known.count + 1)
    spread, odds = shares * (1 - shares), np.log(shares / (1 - shares))
    moments = known.label_sums - known.per_label[:, None] * center  # (C, D) Σ y z around the center
    coordinates, targets = rows @ spectrum.vectors, memory.labels
    best: tuple[float, float, float, float, Array] | None = None
    for shrinkage in shrinkages:
        matrix = shrunken(spectrum, known.count, shrinkage)
        # Least squares wants (W + level / slope)⁻¹, which is slope · A⁻¹.
        gains = matrix.slope / (matrix.slope * spectrum.values + matrix.level)
        leverages = coordinates**2 @ gains + 1 / known.count
        fitted = (coordinates * gains) @ (moments @ spectrum.vectors).T
        mean = known.per_label / known.count
        without = (fitted + mean - leverages[:, None] * targets) / (1 - leverages)[:, None]
        scores = (without - mean) / spread
        expected = expected_temperature(without, targets, mean, spread)
        temperature = fit_tag_temperature(scores, targets, odds, expected)
        logits = scores / temperature + odds
        loss = binary_cross_entropy(logits, targets)
        rating = loss + expected.surprise(temperature) / targets.size
        if best is None or rating < best[0]:
            best = rating, loss, shrinkage, temperature, logits
    assert best is not None  # there is a candidate
    _, loss, shrinkage, temperature, logits = best
    matrix = shrunken(spectrum, known.count, shrinkage)
    weight = matrix.slope * solved(spectrum, matrix, moments) / spread[:, None]
    bias = temperature * odds - weight @ center
    accuracy = float(((logits > 0) == targets).mean())
    calibration = Calibration(temperature, len(rows))
    return Head(weight, bias, shrinkage, calibration, loss, accuracy)


def expected_temperature(
    without: Array, targets: NDArray[np.bool_], mean: Array, spread: Array
) -> Expected:
    """The temperature that is likely by how much of the tags the regression explains.

    A few images that are all right would make it next to 0. Of two normal distributions with one
    covariance the log-odds are the regression's by 1 - R², R² being the share of the variance that
    it explains (the discriminant is a regression, Fisher, 1936); here of images left out.

    Args:
        without: (N, C) what the regression says of each image left out.
        targets: (N, C) the truth.
        mean: (C,) the share of each tag.
        spread: (C,) its variance, above 0.
    """
    # One more image of which nothing is explained: how little is left is not known from few.
    one = targets.shape[1]
    left = float(((without - targets) ** 2 / spread).sum()) + one
    whole = float(((mean - targets) ** 2 / spread).sum()) + one
    return Expected(min(left / whole, 1.0), _SPREAD)
