"""What a model does not know: temperature, sets with a promised coverage, "none of these"."""

from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.uncertainty.calibration import (
    FAR,
    LOOK_ALIKE,
    calibrate,
    candidate_sets,
    evidence,
    refusals,
)
from lookcloser.uncertainty.conformal import (
    aps_scores,
    aps_sets,
    conformal_quantile,
    lac_scores,
    lac_sets,
)
from lookcloser.uncertainty.temperature import (
    OF_A_NETWORK,
    Expected,
    binary_cross_entropy,
    cross_entropy,
    fit_tag_temperature,
    fit_temperature,
    softmax,
)

__all__ = [
    "COVERAGES",
    "FAR",
    "LOOK_ALIKE",
    "OF_A_NETWORK",
    "Calibration",
    "Expected",
    "aps_scores",
    "aps_sets",
    "binary_cross_entropy",
    "calibrate",
    "candidate_sets",
    "conformal_quantile",
    "cross_entropy",
    "evidence",
    "fit_tag_temperature",
    "fit_temperature",
    "lac_scores",
    "lac_sets",
    "refusals",
    "softmax",
]
