"""Grad-CAM for any network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.explain.features import weighted_maps
from lookcloser.explain.targets import Targets


def gradcam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | nn.Module | None = None
) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017): relu(Σ_d mean_xy(∂S_c/∂f_d) f_d).

    The graph is built from the layer onwards only, so that memory stays near that of a bare
    forward pass; parameters' ``.grad`` is not touched. Works under ``no_grad``, ``inference_mode``
    and autocast.

    Args:
        model: Any network, CNN or transformer. It is left as it was found.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.
        layer: The module whose output is looked at, or its name; None takes the last with a grid.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the layer's resolution and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For an unknown layer (near names are offered), a network without a spatial
            layer, and targets out of range.
    """
    return weighted_maps(model, images, targets, layer, _weigh)


def _weigh(features: Tensor, slopes: Tensor) -> Tensor:
    return torch.einsum("bd,bdhw->bhw", slopes.mean(dim=(2, 3)), features).relu()
