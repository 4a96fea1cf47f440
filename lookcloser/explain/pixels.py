"""Gradients of the targets' logits at the pixels, shared by the views that are drawn from them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.context import check_images, full_precision, looking
from lookcloser.explain.features import target_slopes
from lookcloser.explain.gradients import check_has_gradients, check_slope
from lookcloser.explain.layers import check_sees
from lookcloser.explain.outputs import logits_from
from lookcloser.explain.targets import Targets, class_indices


def pixel_slopes(
    model: nn.Module,
    images: Tensor,
    targets: Targets,
    each: Callable[[Tensor], Tensor] = torch.Tensor.float,
) -> tuple[Tensor, bool]:
    """``each(∂S_c/∂x)`` of every target, stacked (B, K, ...), and whether K was asked for.

    All targets share one forward pass; parameters' ``.grad`` is not touched.

    Raises:
        LookcloserError: For a network whose answer knows no image, and for targets out of range.
    """
    check_images(model, images)
    check_has_gradients(model)
    with looking(model, images, gradients=True) as own:
        pixels, logits = _with_slope(model, own)
        check_slope(model, logits)
        indices, several = class_indices(targets, logits)
        with full_precision(images):
            slopes = [each(slope) for (slope,) in target_slopes(logits, indices, pixels)]
    maps = torch.stack(slopes, dim=1)
    check_sees(model, images, maps)
    return maps, several


def _with_slope(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """A leaf with the values of ``images``, and the logits that follow from it."""
    if images.device.type == "cpu" and images.ndim == 4 and len(images) > 1:
        # On CPUs the way back through convolutions takes a quarter less time in this layout, but
        # for a single image. A network that calls `view` on its features cannot take it; one that
        # fails for another reason says so again below.
        with suppress(RuntimeError, LookcloserError):
            pixels = images.clone(memory_format=torch.channels_last).requires_grad_()
            return pixels, logits_from(model, pixels)
    pixels = images.clone().requires_grad_()
    return pixels, logits_from(model, pixels)


def strongest(slopes: Tensor) -> Tensor:
    """Largest absolute value over the channels: (..., 3, H, W) -> float32 (..., H, W)."""
    return slopes.abs().amax(dim=-3).float()
