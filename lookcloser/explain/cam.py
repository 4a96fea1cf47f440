"""Class activation maps of any network that ends in average pooling and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.explain.context import full_precision
from lookcloser.explain.heads import pooled_features
from lookcloser.explain.layers import check_sees
from lookcloser.explain.targets import Targets, as_asked, class_indices


def cam(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Class activation maps (Zhou et al., CVPR 2016): M_c(x, y) = Σ_d w_cd f_d(x, y).

    One forward pass and one small product, for any number of targets; needs no gradient, so that
    it works under ``no_grad``, ``inference_mode`` and autocast. The mean of a map over positions
    is the logit of its class less the bias, which is checked in every call. Where a network
    averages C maps into its C logits (a 1×1 convolution before the pooling) they are the class
    maps: the mean of each is its logit, bias included.

    Args:
        model: Any network whose logits are one linear layer on average-pooled features; layers are
            found by themselves. It is left as it was found.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K).

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the resolution of the features
        and not normalized; see `normalize`.

    Raises:
        LookcloserError: For a network that has no such head or whose answer knows no image, and
            for targets out of range.
    """
    features, weight, logits = pooled_features(model, images)
    indices, several = class_indices(targets, logits)
    with torch.no_grad(), full_precision(images):
        if weight is None:
            rows = torch.arange(len(images), device=indices.device)[:, None]
            return as_asked(features.float()[rows, indices], several)
        found = torch.einsum("bdhw,bkd->bkhw", features.float(), weight.float()[indices])
    check_sees(model, images, found)
    return as_asked(found, several)
