"""What a model knows of its own doubt, measured on images that did not train it."""

from __future__ import annotations

from numbers import Real
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.core.errors import LookcloserError, UsageError, unknown
from lookcloser.core.wording import as_share
from lookcloser.uncertainty.conformal import (
    Method,
    aps_scores,
    aps_sets,
    conformal_quantile,
    lac_scores,
    lac_sets,
)
from lookcloser.uncertainty.temperature import softmax

LOOK_ALIKE, FAR = "like no class it knows", "unlike the training images"
EVIDENCE_RATE, DISTANCE_RATE = 0.04, 0.012  # of own images refused; 5 % together at most
_FEWEST = 20  # images from which a threshold of refusal is taken


def candidate_sets(
    calibration: Calibration,
    probabilities: NDArray[np.floating],
    coverage: float,
    method: str = "lac",
) -> NDArray[np.bool_]:
    """(N, C) the labels that may be true, see `conformal`.

    Args:
        calibration: Of the model.
        probabilities: (N, C) at its temperature.
        coverage: The promised share of images whose truth is in its set; the next higher percent
            counts.
        method: "lac" or "aps".

    Raises:
        LookcloserError: For an unknown method, a coverage that is not kept, and a model without
            these quantiles.
    """
    if method not in get_args(Method):
        raise unknown(method, "kind of set", get_args(Method))
    given: object = coverage  # which may be anything where types are not checked
    is_number = isinstance(given, Real) and not isinstance(given, bool)
    if not (is_number and 0 < coverage <= COVERAGES[-1]):
        said = f"{coverage:g}: not possible" if is_number else f"{coverage!s:.60}: not a number"
        raise UsageError(
            f"{{}} {said}",
            allowed=f"a number above 0, at most {COVERAGES[-1]}",
            fix=as_share(coverage),
            option="coverage",
        )
    quantiles = calibration.lac if method == "lac" else calibration.aps
    if not quantiles:
        raise LookcloserError(
            "this model promises no coverage: it was not calibrated",
            fix="Train it again, with 20 images or more of val, or in closed form with several "
            "images of a class",
        )
    place = next(i for i, known in enumerate(COVERAGES) if known >= coverage - 1e-9)
    make = lac_sets if method == "lac" else aps_sets
    return make(probabilities, quantiles[place])


def refusals(
    calibration: Calibration,
    logits: NDArray[np.floating],
    distances: NDArray[np.floating] | None = None,
) -> list[str | None]:
    """Why an image may show none of the classes, in words; None where it may show one.

    Args:
        calibration: Of the model.
        logits: (N, C), not yet divided by the temperature.
        distances: (N,) squared Mahalanobis distances, where the model gives them.
    """
    found: list[str | None] = [None] * len(logits)
    if calibration.evidence is not None:
        for row in np.flatnonzero(evidence(logits) < calibration.evidence):
            found[row] = LOOK_ALIKE
    if calibration.distance is not None and distances is not None:
        for row in np.flatnonzero(distances > calibration.distance):
            found[row] = FAR
    return found


def evidence(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) by how much the highest logit is above the mean of all that are finite.

    What all classes have in common, such as how much there is to see in an image, cancels; of a
    discriminant it is, but for a constant, the distance to the nearest class less that to the mean
    of the classes (relative Mahalanobis distance, Ren et al., 2021).
    """
    wide = logits.astype(np.float64)
    finite = np.isfinite(wide)
    means = np.where(finite, wide, 0.0).sum(axis=1) / np.maximum(finite.sum(axis=1), 1)
    above: NDArray[np.float64] = wide.max(axis=1) - means
    return above


def calibrate(
    logits: NDArray[np.floating],
    targets: NDArray[np.int64],
    temperature: float,
    distances: NDArray[np.floating] | None = None,
) -> Calibration:
    """Quantiles and thresholds from images that did not train the model.

    Args:
        logits: (N, C), not yet divided by the temperature.
        targets: (N,) true classes.
        temperature: See `fit_temperature`.
        distances: (N,) squared Mahalanobis distances, where the model gives them.
    """
    probabilities = softmax(logits / temperature)
    # Without the random share the quantile would be next to 1, and every set nearly all labels.
    uniform = np.random.default_rng(0).uniform(size=len(targets))
    scores = lac_scores(probabilities, targets), aps_scores(probabilities, targets, uniform)
    lac, aps = (tuple(conformal_quantile(kind, c) for c in COVERAGES) for kind in scores)
    enough = len(logits) >= _FEWEST
    floor = -_extreme(-evidence(logits), EVIDENCE_RATE) if enough else None
    far = _extreme(distances, DISTANCE_RATE) if enough and distances is not None else None
    return Calibration(temperature, len(logits), lac, aps, floor, far)


def _extreme(values: NDArray[np.floating], rate: float) -> float:
    """What a share ``rate`` of the values is above; of few values the largest."""
    rank = max(1, round(rate * (len(values) + 1)))
    return float(np.sort(values)[-rank])
