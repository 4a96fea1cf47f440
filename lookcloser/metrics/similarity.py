"""How alike two maps of the same image are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from lookcloser.core import LookcloserError
from lookcloser.metrics.maps import Maps, as_maps, min_max

Floats = NDArray[np.float64]

# Of Wang et al.: the window, and the constants against division by nothing for a range of 1.
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2


def rank_correlation(first: ArrayLike, second: ArrayLike) -> Floats:
    """Spearman's rank correlation of each map with its counterpart; equal pixels share a rank.

    Args:
        first: (N, h, w).
        second: (N, h, w).

    Returns:
        (N,) in [-1, 1]. A map of one value has no order: 1 beside another such map, else 0.

    Raises:
        LookcloserError: If shapes differ or a map is not finite.
    """
    from scipy.stats import rankdata  # half a second, and only few programs rank

    a, b = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in _pair(first, second))
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found: Floats = np.divide((a * b).sum(axis=1), norms, where=norms > 0, out=np.zeros(len(a)))
    found[~a.any(axis=1) & ~b.any(axis=1)] = 1
    return found


def structural_similarity(first: ArrayLike, second: ArrayLike) -> Floats:
    """SSIM of each map with its counterpart, each first brought from its range onto [0, 1].

    A Gaussian window of 11×11, σ = 1.5, mirrored at borders, so that grids of a few pixels have a
    value too; the mean over all places. Arguments and errors as in `rank_correlation`.

    Returns:
        (N,) at most 1, which is reached by equal maps only.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
    IEEE TIP 2004.
    """
    a, b = (min_max(maps.astype(np.float64)) for maps in _pair(first, second))
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    variances = _local_mean(a**2) - mean_a**2 + _local_mean(b**2) - mean_b**2
    covariance = _local_mean(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    likeness /= (mean_a**2 + mean_b**2 + _C1) * (variances + _C2)
    found: Floats = likeness.mean(axis=(1, 2))
    return found


def _local_mean(maps: Maps) -> Maps:
    rows = gaussian_filter1d(maps, _SIGMA, axis=1, radius=_RADIUS)
    means: Maps = gaussian_filter1d(rows, _SIGMA, axis=2, radius=_RADIUS)
    return means


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Maps, Maps]:
    a, b = as_maps(first), as_maps(second)
    if a.shape != b.shape:
        raise LookcloserError(f"maps of shape {a.shape} beside {b.shape}", allowed="One shape")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise LookcloserError("maps with NaN or without bounds", allowed="Finite maps")
    return a, b
