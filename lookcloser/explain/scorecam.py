"""Score-CAM: each feature map weighted by the score of the image behind it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.sizes import Grid
from lookcloser.explain.context import full_precision
from lookcloser.explain.features import features_of
from lookcloser.explain.masking import block_size, masked_scores
from lookcloser.explain.targets import Targets, as_asked, chosen


def scorecam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | nn.Module | None = None
) -> Tensor:
    """Score-CAM (Wang et al., CVPR workshops 2020): relu(Σ_d w_d f_d), without any gradient.

    w is the softmax over the features d of S_c(x ⊙ m_d); m_d is f_d enlarged bilinearly to the
    image and then stretched to [0, 1], in the paper's order. The paper's baseline score is the same
    for every d and drops out of the softmax. A feature that is constant over the image masks
    everything.

    Args:
        model: Any network. It is left as it was found.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); any number costs
            the same: one forward pass per feature.
        layer: The module whose output is looked at, or its name; None takes the last with a grid.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the layer's resolution and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For an unknown layer, a network without a spatial layer, and targets out
            of range.
    """
    indices, several = chosen(model, images, targets)
    features, _ = features_of(model, images, layer)
    blocks = _masks(features, Grid(*images.shape[-2:]), block_size(images))
    scores = torch.cat(list(masked_scores(model, images, blocks, indices)))
    with torch.no_grad(), full_precision(images):
        maps = torch.einsum("dbk,bdhw->bkhw", scores.softmax(dim=0), features)
    return as_asked(maps.relu(), several)


def _masks(features: Tensor, size: Grid, count: int) -> Iterator[Tensor]:
    """Features (B, D, h, w) as masks (≤ count, B, 1, H, W) in [0, 1]."""
    for start in range(0, features.shape[1], count):
        some = features[:, start : start + count]
        large = F.interpolate(some, size, mode="bilinear", align_corners=False)
        lowest = large.amin(dim=(2, 3), keepdim=True)
        spread = large.amax(dim=(2, 3), keepdim=True) - lowest
        stretched = (large - lowest) / torch.where(spread > 0, spread, 1.0)
        yield stretched.transpose(0, 1)[:, :, None]
