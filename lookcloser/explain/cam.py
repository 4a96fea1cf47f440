"""Class activation maps of any network that ends in average pooling and one linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.hooks import watching
from lookcloser.explain.context import full_precision, looking
from lookcloser.explain.layers import as_map, classifier_weight, find_pooled_head, module_named
from lookcloser.explain.targets import Targets, as_asked, class_indices, logits_of


def cam(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Class activation maps (Zhou et al., CVPR 2016): M_c(x, y) = Σ_d w_cd f_d(x, y).

    One forward pass and one small product, for any number of targets; needs no gradient, so that
    it works under ``no_grad``, ``inference_mode`` and autocast. The mean of a map over positions
    is the logit of its class less the bias.

    Args:
        model: Any network whose logits are one linear layer on average-pooled features; layers are
            found by themselves. It is left as it was found.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K).

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the resolution of the features
        and not normalised; see `normalize`.

    Raises:
        LookcloserError: For a network that has no such head, and for targets out of range.
    """
    head = find_pooled_head(model, images)
    layer = module_named(model, head.layer)
    weight = classifier_weight(module_named(model, head.classifier))
    assert weight is not None  # find_pooled_head returns only layers that have one
    features: list[Tensor] = []

    def see(_name: str, _inputs: tuple[Any, ...], output: Any) -> Tensor:
        features[:] = [output]
        copy: Tensor = output.clone()  # what follows in place must not reach our features
        return copy

    with looking(model, images) as pixels, watching({head.layer: layer}, see):
        logits = logits_of(model(pixels))
    maps = as_map(features[0], (images.shape[-2], images.shape[-1]))
    assert maps is not None  # the layer was chosen for its grid
    if head.relu:
        maps = maps.relu()
    indices, several = class_indices(targets, logits)
    with torch.no_grad(), full_precision(images):
        found = torch.einsum("bdhw,bkd->bkhw", maps.float(), weight.float()[indices])
    return as_asked(found, several)
