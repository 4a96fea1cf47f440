"""SmoothGrad: saliency averaged over noisy copies of the image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.core.options import whole
from lookcloser.explain.context import at_least, seeded
from lookcloser.explain.pixels import pixel_slopes, strongest
from lookcloser.explain.targets import Targets, as_asked, chosen


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """SmoothGrad (Smilkov et al., 2017): max over channels of |mean over noise of ∂S_c/∂x|.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image without noise, an int, (B,) or (B, K).
        samples: Noisy copies; each costs a forward and, for every target, a backward pass.
        noise: Standard deviation of the Gaussian noise, as a share of an image's range of values.
        seed: Of the noise. All images of a batch get the same noise, so that the map of an image
            does not depend on its neighbors; the global random state is not touched.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K), not normalized; see `normalize`.

    Raises:
        LookcloserError: For targets out of range.
    """
    whole(1, samples=samples)
    at_least(0, noise=noise)
    indices, several = chosen(model, images, targets)
    generator = seeded(seed)
    low, high = images.detach().flatten(1).aminmax(dim=1)
    spread = (noise * (high - low))[:, None, None, None]
    total = torch.zeros((), device=images.device)
    for _ in range(samples):
        pattern = torch.randn(images.shape[1:], generator=generator).to(images)
        slopes, _ = pixel_slopes(model, images + spread * pattern, indices)
        total = total + slopes / samples
    return as_asked(strongest(total), several)
