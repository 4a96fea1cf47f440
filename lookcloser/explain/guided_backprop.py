"""Guided back-propagation: only positive gradients go back through a ReLU."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.explain.rectifiers import rectified_slopes
from lookcloser.explain.targets import Targets


def guided_backprop(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Guided back-propagation (Springenberg et al., 2015): max over channels of |gradient|.

    Each ReLU lets a gradient pass where its input and the gradient are positive.
    ReLU and ReLU6 count, as modules and as functions, in place or not; scripted ones cannot be
    seen.

    Args:
        model: A network with ReLUs. It is left as it was found; parameters' ``.grad`` is not
            touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K), not normalized; see `normalize`.

    Raises:
        LookcloserError: For a network in which no ReLU was met, and for targets out of range.
    """
    return rectified_slopes(model, images, targets, gated=True)
