"""What a closed-form solution is: a linear head, and what is known of its doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookcloser.uncertainty import Calibration

Array = NDArray[np.float64]

SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, eq=False)
class Metric:
    """The inverse of a shrunken covariance A, for squared Mahalanobis distances.

    ``(z - center)ᵀ A⁻¹ (z - center)`` is the squared length of z - center by ``level``, plus the
    squares of its coordinates along ``directions`` times ``gains``.

    Attributes:
        center: (D,).
        directions: (R, D), orthonormal rows.
        gains: (R,), never positive.
        level: Above 0.
        offsets: (C,) what is in a head's bias beside the discriminant: its prior.
    """

    center: Array
    directions: Array
    gains: Array
    level: float
    offsets: Array

    def distances(self, features: NDArray[np.floating], logits: NDArray[np.floating]) -> Array:
        """(N,) squared distance to the nearest class of features (N, D) with logits (N, C)."""
        rows = features.astype(np.float64) - self.center
        squares = (rows**2).sum(axis=1) / self.level
        squares += (rows @ self.directions.T) ** 2 @ self.gains
        nearest: Array = squares - 2 * (logits - self.offsets).max(axis=1)
        return np.maximum(nearest, 0.0)


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head ``z · weightᵀ + bias``, solved, not trained.

    Attributes:
        weight: (C, D).
        bias: (C,).
        shrinkage: γ, chosen on images left out.
        calibration: Its temperature, and what else images left out say of its doubt.
        loss: Their cross-entropy at that temperature, in nats; nan where none could be left out.
        accuracy: The share of them that it answers right; of tags the share of right decisions.
        metric: For distances; None of tags.
    """

    weight: Array
    bias: Array
    shrinkage: float
    calibration: Calibration
    loss: float
    accuracy: float
    metric: Metric | None = None
