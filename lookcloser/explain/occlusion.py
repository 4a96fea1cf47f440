"""Occlusion: how much the score falls where a window covers the image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.options import whole
from lookcloser.explain.context import check_images, full_precision
from lookcloser.explain.layers import check_sees
from lookcloser.explain.masking import block_size, masked_scores
from lookcloser.explain.targets import Targets, as_asked, chosen


def occlusion(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    window: int | None = None,
    stride: int | None = None,
) -> Tensor:
    """Occlusion (Zeiler and Fergus, ECCV 2014): fall of the logit, averaged over the windows.

    A square window slides over the image and sets what it covers to 0, the mean color of
    normalized images. A pixel's value is the mean of S_c(x) - S_c(covered) over the windows that
    cover it; the last window of a row or column is cut at the border. Under bfloat16 autocast small
    falls drown in the rounding of the logits.

    Args:
        model: Any network. It is left as it was found; needs no gradient.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); any number costs
            the same.
        window: Side in pixels; None takes a sixth of the image's shorter side.
        stride: Step in pixels, at most ``window``; None takes half a window. There are about
            H·W / stride² forward passes.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K). Signed: below zero, covering helps
        the class. Not normalized; see `normalize`.

    Raises:
        LookcloserError: For a stride that leaves gaps, and for targets out of range.
    """
    check_images(model, images)
    height, width = images.shape[-2:]
    window = max(1, min(height, width) // 6) if window is None else window
    whole(1, window=window)
    stride = max(1, window // 2) if stride is None else stride
    whole(0, stride=stride)
    if not 1 <= stride <= window:
        raise LookcloserError(f"stride {stride}: leaves gaps", allowed=f"1 … window ({window})")
    indices, several = chosen(model, images, targets)
    uncovered = torch.ones(1, 1, 1, height, width, device=images.device)
    base = next(masked_scores(model, images, [uncovered], indices))
    falls = torch.zeros(*indices.shape, height, width, device=images.device)
    covered = torch.zeros(height, width, device=images.device)
    windows = list(_windows(height, width, window, stride))
    blocks = [
        torch.stack(windows[start : start + block_size(images)]).to(images.device)
        for start in range(0, len(windows), block_size(images))
    ]
    masks = (1 - block[:, None, None] for block in blocks)
    for block, scores in zip(blocks, masked_scores(model, images, masks, indices), strict=True):
        with full_precision(images):
            falls += torch.einsum("nbk,nhw->bkhw", base - scores, block)
        covered += block.sum(dim=0)
    check_sees(model, images, falls)
    return as_asked(falls / covered, several)


def _windows(height: int, width: int, window: int, stride: int) -> Iterator[Tensor]:
    """Float (H, W) with 1 inside a window, row by row."""
    for top in range(0, max(height - window, 0) + stride, stride):
        for left in range(0, max(width - window, 0) + stride, stride):
            inside = torch.zeros(height, width)
            inside[top : top + window, left : left + window] = 1
            yield inside
