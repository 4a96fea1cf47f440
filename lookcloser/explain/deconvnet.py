"""The deconvnet: the positive signal sent back, whatever was active on the way."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.explain.rectifiers import rectified_slopes
from lookcloser.explain.targets import Targets


def deconvnet(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Deconvnet (Zeiler and Fergus, ECCV 2014): max over channels of |signal|.

    Each ReLU lets a gradient pass where the gradient is positive, whatever its input was; a
    max-pooling sends it to where its maximum was.
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
    return rectified_slopes(model, images, targets, gated=False)
