"""From a map of any range to a heatmap in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

# Of a map with a value for each pixel: a few pixels are many times as strong as the others, and
# would leave nothing of these to be seen.
PIXEL_CLIP = 0.99


def normalize(maps: Tensor, clip: float = 1.0) -> Tensor:
    """Positive evidence relative to each map's own maximum: relu(M) / max(M).

    Args:
        maps: (..., h, w).
        clip: Share of the values that are drawn to scale; what is above this quantile of the
            positive evidence becomes 1. `PIXEL_CLIP` is for views with a value for each pixel
            (saliency and its like); 1 leaves every value in proportion.

    Returns:
        The same shape in [0, 1]. A map with nothing above zero becomes all zeros, "no evidence";
        it is not stretched into noise.
    """
    positive = maps.relu()
    highest = positive.amax(dim=(-2, -1), keepdim=True)
    if clip < 1:
        # By sorting, as `torch.quantile` takes no more than 2^24 values.
        ranked = positive.flatten(-2).sort(dim=-1).values
        reach = ranked[..., round(clip * (ranked.shape[-1] - 1))][..., None, None]
        highest = torch.where(reach > 0, reach, highest)
    return (positive / highest.where(highest > 0, 1.0)).clamp(max=1)
