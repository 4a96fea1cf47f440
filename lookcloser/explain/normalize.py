"""From a map of any range to a heatmap in [0, 1]."""

from __future__ import annotations

from torch import Tensor


def normalize(maps: Tensor) -> Tensor:
    """Positive evidence relative to each map's own maximum: relu(M) / max(M).

    Args:
        maps: (..., h, w).

    Returns:
        The same shape in [0, 1]. A map with nothing above zero becomes all zeros, "no evidence";
        it is not stretched into noise.
    """
    positive = maps.relu()
    highest = positive.amax(dim=(-2, -1), keepdim=True)
    return positive / highest.where(highest > 0, 1.0)
