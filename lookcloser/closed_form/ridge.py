"""Ridge regression for tags, one for each label, rated on every image left out in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookcloser.closed_form.head import SHRINKAGES, Head
from lookcloser.closed_form.memory import Memory
from lookcloser.closed_form.spectrum import Spectrum, shrunken, solved
from lookcloser.uncertainty import Calibration, binary_cross_entropy, fit_tag_temperature

Array = NDArray[np.float64]


def fit_ridge(memory: Memory, *, shrinkages: Sequence[float] = SHRINKAGES) -> Head:
    """Solve one ridge regression to 0 and 1 for each label, with a shrinkage common to all.

    What a regression says above a label's share π, divided by π (1 - π), is a log-odds up to a
    scale that all labels share; the temperature is that scale, and the log-odds of π are added
    unscaled. Shrinkage and temperature are those with the lowest cross-entropy of images left out.

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
    best: tuple[float, float, float, Array] | None = None
    for shrinkage in shrinkages:
        matrix = shrunken(spectrum, known.count, shrinkage)
        # Least squares wants (W + level / slope)⁻¹, which is slope · A⁻¹.
        gains = matrix.slope / (matrix.slope * spectrum.values + matrix.level)
        leverages = coordinates**2 @ gains + 1 / known.count
        fitted = (coordinates * gains) @ (moments @ spectrum.vectors).T
        mean = known.per_label / known.count
        without = (fitted + mean - leverages[:, None] * targets) / (1 - leverages)[:, None]
        scores = (without - mean) / spread
        temperature = fit_tag_temperature(scores, targets, odds)
        loss = binary_cross_entropy(scores / temperature + odds, targets)
        if best is None or loss < best[0]:
            best = loss, shrinkage, temperature, scores / temperature + odds
    assert best is not None  # there is a candidate
    loss, shrinkage, temperature, logits = best
    matrix = shrunken(spectrum, known.count, shrinkage)
    weight = matrix.slope * solved(spectrum, matrix, moments) / spread[:, None]
    bias = temperature * odds - weight @ center
    accuracy = float(((logits > 0) == targets).mean())
    calibration = Calibration(temperature, len(rows))
    return Head(weight, bias, shrinkage, calibration, loss, accuracy)
