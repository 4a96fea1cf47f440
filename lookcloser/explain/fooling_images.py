"""Fooling images: the smallest change of an image that makes the network say something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.options import whole
from lookcloser.explain.context import at_least, looking
from lookcloser.explain.gradients import check_has_gradients, check_slope
from lookcloser.explain.outputs import logits_from
from lookcloser.explain.targets import chosen

_BEYOND = 1e-4  # of a logit past the tie, so that an exact tie does not end the search
_HALVINGS = 8


class Fooled(NamedTuple):
    """What `fooling_images` found.

    Attributes:
        images: (B, 3, H, W), the changed images; those not flipped as far as they came.
        flipped: bool (B,), whether the network now answers with the target.
        steps: int64 (B,), gradient steps taken; 0 where the answer was the target already.
    """

    images: Tensor
    flipped: Tensor
    steps: Tensor


def fooling_images(
    model: nn.Module,
    images: Tensor,
    targets: int | Sequence[int] | Tensor,
    *,
    max_steps: int = 50,
    longest: float = 0.1,
) -> Fooled:
    """Images that look the same and are taken for ``targets`` (after DeepFool, CVPR 2016).

    Each step goes, along the gradient, as far as the network would need to tie the target with its
    best class if it were linear, and 2 % more. An image stops as soon as it flips. Then the way
    back to the original is halved again and again for the smallest part of the change that still
    flips. Values are not clamped to a range.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: The class wanted: an int for all images, or (B,).
        max_steps: Gradient steps after which an image is given up.
        longest: Largest root mean square of one step, in the units of the network's input.

    Returns:
        `Fooled`: images, flipped, steps.

    Raises:
        LookcloserError: For several targets per image, and for targets out of range.
    """
    if targets is None:
        raise LookcloserError("targets = None", allowed="the class wanted, an int or one per image")
    whole(0, max_steps=max_steps)
    at_least(0, longest=longest)
    indices, several = chosen(model, images, targets)
    check_has_gradients(model)
    if several:
        raise LookcloserError(
            f"targets of shape {tuple(indices.shape)}", allowed=f"One int or shape ({len(images)},)"
        )
    wanted = indices[:, 0]
    images = images.detach()
    changed = images.clone()
    steps = torch.zeros(len(images), dtype=torch.long, device=images.device)
    active = torch.arange(len(images), device=images.device)
    for turn in range(max_steps + 1):
        gaps, slopes = _gaps(model, changed[active], wanted[active])
        ahead = gaps > 0
        active, gaps, slopes = active[ahead], gaps[ahead], slopes[ahead]
        if turn == max_steps or not len(active):
            break
        changed[active] -= _step(gaps, slopes, longest).to(changed)
        steps[active] += 1
    flipped = torch.ones_like(wanted, dtype=torch.bool)
    flipped[active] = False
    moved = flipped & (steps > 0)
    if moved.any():
        changed[moved] = _shrunk(model, images[moved], changed[moved], wanted[moved])
    return Fooled(changed, flipped, steps)


def _gaps(model: nn.Module, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """How far each target is behind the best other class, 0 where it is ahead; and the gradient."""
    with looking(model, images, gradients=True) as own:
        pixels = own.clone().requires_grad_()
        logits = logits_from(model, pixels)
        check_slope(model, logits)
        best = logits.argmax(dim=1)
        pairs = logits.gather(1, torch.stack([best, wanted], dim=1))
        gaps = pairs[:, 0] - pairs[:, 1]
        (slopes,) = torch.autograd.grad(gaps.sum(), pixels)
        behind = (gaps.detach().float() + _BEYOND) * (best != wanted)
    return behind, slopes.float()


def _step(gaps: Tensor, slopes: Tensor, longest: float) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(slopes.flatten(1), dim=1)
    lengths = 1.02 * gaps / norms.clamp(min=torch.finfo(norms.dtype).tiny)
    lengths = lengths.clamp(max=longest * slopes[0].numel() ** 0.5)
    return slopes * (lengths / norms.where(norms > 0, 1.0))[:, None, None, None]


def _shrunk(model: nn.Module, images: Tensor, changed: Tensor, wanted: Tensor) -> Tensor:
    """The points nearest to ``images``, on the way to ``changed``, that are known to be flipped."""
    low = torch.zeros(len(images), 1, 1, 1, device=images.device)
    high = torch.ones_like(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        with looking(model, images) as own:
            logits = logits_from(model, torch.lerp(own, changed, middle.to(own)))
        fooled = (logits.argmax(dim=1) == wanted)[:, None, None, None]
        high, low = torch.where(fooled, middle, high), torch.where(fooled, low, middle)
    nearest: Tensor = torch.lerp(images, changed, high.to(images))
    return nearest
