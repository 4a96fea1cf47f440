"""Shrunken scatter matrices: one eigendecomposition serves every amount of shrinkage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# What two looks of a network at one image may differ by, of float32 features: 8 roundings.
_NOISE = 8 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The eigenvalues and vectors of a scatter matrix W (D, D), without its null space.

    Attributes:
        values: (R,) above zero.
        vectors: (D, R), orthonormal columns.
    """

    values: Array
    vectors: Array

    @classmethod
    def of_scatter(cls, scatter: Array, squares: float = 0.0) -> Spectrum:
        """Of W itself.

        Args:
            scatter: (D, D).
            squares: The sum of the squares of all features, as they came from the network: what is
                next to nothing beside them is no variance, but rounding.
        """
        values, vectors = np.linalg.eigh(scatter)
        kept = values > _floor(values, len(scatter), squares)
        return cls(values[kept], vectors[:, kept])

    @classmethod
    def of_rows(cls, rows: Array, squares: float = 0.0) -> Spectrum:
        """Of W = rowsᵀ rows, rows (N, D): where N < D by way of the small (N, N) matrix.

        Args:
            rows: (N, D).
            squares: As of `of_scatter`.
        """
        count, width = rows.shape
        if count >= width:
            return cls.of_scatter(rows.T @ rows, squares)
        values, vectors = np.linalg.eigh(rows @ rows.T)
        kept = values > _floor(values, width, squares)
        values = values[kept]
        return cls(values, rows.T @ (vectors[:, kept] / np.sqrt(values)))

    @property
    def width(self) -> int:
        """D."""
        return len(self.vectors)


@dataclass(frozen=True)
class Shrunken:
    """A = slope · W + level · I."""

    slope: float
    level: float

    def gains(self, spectrum: Spectrum) -> Array:
        """(R,) what A⁻¹ has above 1 / level along each eigenvector of W; never positive."""
        return 1 / (self.slope * spectrum.values + self.level) - 1 / self.level


def shrunken(spectrum: Spectrum, degrees: float, shrinkage: float) -> Shrunken:
    """(1 - γ) S + γ τ I with S = W / degrees and τ the mean of S's diagonal.

    Args:
        spectrum: Of the scatter W.
        degrees: Its degrees of freedom, above 0.
        shrinkage: γ, above 0 and at most 1.
    """
    mean = float(spectrum.values.sum()) / (degrees * spectrum.width)
    return Shrunken((1 - shrinkage) / degrees, shrinkage * mean)


class Inner(NamedTuple):
    """Inner products x A⁻¹ y under one A.

    Attributes:
        between: (N, C) rows with means.
        squares: (N,) each row with itself.
        among: (C, C) means with means.
    """

    between: Array
    squares: Array
    among: Array


class Products:
    """The inner products of some rows with some means, for one A after the other.

    All that does not depend on the shrinkage is worked out once.

    Args:
        spectrum: Of W.
        rows: (N, D).
        means: (C, D).
    """

    def __init__(self, spectrum: Spectrum, rows: Array, means: Array) -> None:
        self._spectrum = spectrum
        self._rows, self._means = rows @ spectrum.vectors, means @ spectrum.vectors
        self._between, self._among = rows @ means.T, means @ means.T
        self._squares = (rows**2).sum(axis=1)

    def under(self, matrix: Shrunken) -> Inner:
        """All of them."""
        gains = matrix.gains(self._spectrum)
        between = self._between / matrix.level + (self._rows * gains) @ self._means.T
        squares = self._squares / matrix.level + self._rows**2 @ gains
        among = self._among / matrix.level + (self._means * gains) @ self._means.T
        return Inner(between, squares, among)


def solved(spectrum: Spectrum, matrix: Shrunken, rows: Array) -> Array:
    """(N, D) the rows x A⁻¹ of rows (N, D)."""
    inside = (rows @ spectrum.vectors * matrix.gains(spectrum)) @ spectrum.vectors.T
    return rows / matrix.level + inside


def _floor(values: Array, width: int, squares: float) -> float:
    """What rounding leaves of an eigenvalue that is zero."""
    largest = max(float(values[-1]), 0.0) if len(values) else 0.0
    return max(largest * width * float(np.finfo(np.float64).eps), squares * _NOISE**2)
