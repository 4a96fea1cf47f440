"""The derivative map of RA-CNN's analysis: where the input moves the answer, and with it a box."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.explain.pixels import pixel_slopes
from lookcloser.explain.targets import Targets, as_asked
from lookcloser.layers import boxcar_mask


def derivative_map(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """The negative square of the norm of the derivative at each pixel (Fu et al., CVPR 2017).

    ``D(x, y) = -Σ_channels (∂S_c/∂x)²``, S_c the target's logit: 0 where the input has no say, the
    lower the more it has. The sign is the paper's: a box that follows `box_update` moves to where
    D is lowest.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K).

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K); nowhere positive.

    Raises:
        LookcloserError: For targets out of range.
    """
    return as_asked(*pixel_slopes(model, images, targets, _negative_square))


def derivative(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """`derivative_map` as evidence: without its sign, so that the strongest place is the highest.

    Args:
        model: As `derivative_map`.
        images: As `derivative_map`.
        targets: As `derivative_map`.

    Returns:
        As `derivative_map`, nowhere negative.
    """
    return -derivative_map(model, images, targets)


def box_update(maps: Tensor, boxes: Tensor, shrink: float = 0.0) -> Tensor:
    """Which way a derivative map moves a box: ``-Σ_xy D(x, y) ∂M(x, y)/∂t``, M the boxcar mask.

    It is the descent direction of the paper's analysis. The mask only grows with the half-side, so
    the third number is never negative by itself. The authors' released layer adds a constant that
    shrinks the box: with ``shrink`` every place of the box pulls its side inwards by as much,
    ``shrink · Σ_xy D(x, y) M(x, y)``. The box then grows where the derivatives are strong at its
    border, and shrinks where they are strong in its middle only.

    Args:
        maps: (B, H, W) of `derivative_map`.
        boxes: (B, 3), ``(t_x, t_y, t_l)`` as center and half-side in [-1, 1].
        shrink: 0 for the paper's formula; `lookcloser.layers.boxcar.SHRINK` is the release's.

    Returns:
        (B, 3) in the same order, not normalized: a positive first number moves the box right, a
        positive second one down, a positive third one enlarges it, a negative one makes it smaller.
    """
    with torch.inference_mode(False), torch.enable_grad():
        leaf = boxes.detach().clone().requires_grad_()
        mask = boxcar_mask(leaf, (maps.shape[-2], maps.shape[-1]))[:, 0]
        covered = (maps.detach().clone() * mask).sum(dim=(1, 2))
        (gradient,) = torch.autograd.grad(covered.sum(), leaf)
    inwards = torch.zeros_like(gradient)
    inwards[:, 2] = shrink * covered.detach()
    return inwards - gradient


def _negative_square(slopes: Tensor) -> Tensor:
    return -slopes.float().square().sum(dim=-3)
