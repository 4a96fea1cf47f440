"""Images made from a network's own gradients, ready to be saved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookcloser.core.errors import LookcloserError


def to_images(tensors: Tensor, mean: Sequence[float], std: Sequence[float]) -> list[Image.Image]:
    """Images from a network's input space, as `class_visualization` and `fooling_images` give them.

    Args:
        tensors: (B, C, H, W), normalized with ``mean`` and ``std``; C is 3, or 1 for gray.
        mean: Of each channel, for values in [0, 1].
        std: Of each channel.

    Returns:
        B images of PIL, RGB or gray, what lies outside the range cut off.

    Raises:
        LookcloserError: For another shape, or numbers that are not one for each channel.
    """
    if tensors.ndim != 4 or tensors.shape[1] not in (1, 3):
        raise LookcloserError(
            f"tensors of shape {tuple(tensors.shape)}", allowed="(B, 3, H, W) or (B, 1, H, W)"
        )
    if not len(mean) == len(std) == tensors.shape[1]:
        raise LookcloserError(
            f"{len(mean)} means and {len(std)} deviations", allowed="one for each channel"
        )
    scale = torch.tensor(std)[:, None, None], torch.tensor(mean)[:, None, None]
    values = (tensors.detach().float().cpu() * scale[0] + scale[1]).clamp(0, 1)
    pixels = (values * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [
        Image.fromarray(np.squeeze(image, axis=2) if image.shape[2] == 1 else image)
        for image in pixels
    ]
