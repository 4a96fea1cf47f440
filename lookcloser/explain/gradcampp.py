"""Grad-CAM++ for any network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.explain.features import weighted_maps
from lookcloser.explain.targets import Targets


def gradcampp(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | nn.Module | None = None
) -> Tensor:
    """Grad-CAM++ (Chattopadhyay et al., WACV 2018): relu(Σ_d w_d f_d).

    With g = ∂S_c/∂f_d, w_d = Σ_xy α relu(g) and α = g² / (2g² + g³ Σ_xy f_d), the paper's equation
    19 for the exponential of the logit; where g is 0, α is 0. It assumes features after a ReLU.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.
        layer: The module whose output is looked at, or its name; None takes the last with a grid.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the layer's resolution and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For an unknown layer, a network without a spatial layer, and targets out
            of range.
    """
    return weighted_maps(model, images, targets, layer, _weigh)


def _weigh(features: Tensor, slopes: Tensor) -> Tensor:
    # α with g² canceled, 1 / (2 + g Σ f): powers of small gradients would underflow.
    positive = slopes.relu()
    divisor = positive * features.sum(dim=(2, 3), keepdim=True) + 2
    weights = (positive / divisor).sum(dim=(2, 3))
    return torch.einsum("bd,bdhw->bhw", weights, features).relu()
