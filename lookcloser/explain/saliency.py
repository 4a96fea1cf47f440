"""Saliency: how much each pixel moves the score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.core.hooks import evaluating
from lookcloser.explain.targets import Targets, class_indices, logits_of


def saliency(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Saliency maps (Simonyan et al., 2014): max over channels of |∂S_c/∂x|.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K), not normalised; see `normalize`.

    Raises:
        LookcloserError: For targets out of range.
    """
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        pixels = images.detach().clone().requires_grad_()
        logits = logits_of(model(pixels))
        indices, several = class_indices(targets, logits)
        maps = []
        for column in indices.unbind(dim=1):
            score = logits.gather(1, column[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, pixels, retain_graph=True)
            maps.append(gradient.abs().amax(dim=1).float())
    found = torch.stack(maps, dim=1)
    return found if several else found[:, 0]
