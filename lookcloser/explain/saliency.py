"""Saliency: how much each pixel moves the score."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.explain.pixels import pixel_slopes, strongest
from lookcloser.explain.targets import Targets, as_asked


def saliency(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Saliency maps (Simonyan et al., 2014): max over channels of |∂S_c/∂x|.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K), not normalized; see `normalize`.

    Raises:
        LookcloserError: For targets out of range.
    """
    return as_asked(*pixel_slopes(model, images, targets, strongest))
