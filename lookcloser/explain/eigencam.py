"""Eigen-CAM: what a layer responds to most, whatever the class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.explain.context import full_precision
from lookcloser.explain.features import features_of
from lookcloser.explain.targets import Targets, as_asked, counted


def eigencam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | nn.Module | None = None
) -> Tensor:
    """Eigen-CAM (Muhammad and Yeasin, IJCNN 2020): features on their first singular vector.

    The features of a position are projected on the direction that explains most of their energy;
    they are not centered, as in the paper. A singular vector has no sign: the one with a
    non-negative sum over the map is taken. **The map is the same for every target.**

    Args:
        model: Any network. It is left as it was found.
        images: (B, 3, H, W).
        targets: None, an int, (B,) or (B, K): only how many maps are wanted.
        layer: The module whose output is looked at, or its name; None takes the last with a grid.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the layer's resolution and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For an unknown layer, a network without a spatial layer, and targets out
            of range.
    """
    features, output = features_of(model, images, layer)
    count, several = counted(targets, output)
    with torch.no_grad(), full_precision(images):
        left, values, _ = torch.linalg.svd(features.flatten(2).mT, full_matrices=False)
        first = left[..., 0] * values[..., :1]
        sign = torch.where(first.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    maps = (first * sign).unflatten(1, features.shape[2:])
    return as_asked(maps[:, None].expand(-1, count, -1, -1).contiguous(), several)
