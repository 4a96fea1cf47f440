"""Integrated gradients: the score shared out over the pixels."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.options import whole
from lookcloser.explain.pixels import pixel_slopes
from lookcloser.explain.targets import Targets, as_asked, chosen


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    *,
    baseline: Tensor | float = 0.0,
    steps: int = 32,
) -> Tensor:
    """Integrated gradients (Sundararajan et al., ICML 2017), summed over channels.

    (x - x') ∫ ∂S_c/∂x(x' + a (x - x')) da over a in [0, 1], by Gauss-Legendre quadrature.
    Completeness: the sum of a map is S_c(x) - S_c(x'), up to the error of the quadrature.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K).
        baseline: x', a number or a tensor that broadcasts to ``images``. 0 is the mean color of
            normalized images.
        steps: Points of the quadrature; each costs a forward and, for every target, a backward
            pass.

    Returns:
        float32 (B, H, W), or (B, K, H, W) for targets (B, K). Signed: below zero is evidence
        against the class. Not normalized; see `normalize`.

    Raises:
        LookcloserError: For a baseline of another form, and for targets out of range.
    """
    whole(1, steps=steps)
    indices, several = chosen(model, images, targets)
    points, weights = np.polynomial.legendre.leggauss(steps)  # on [-1, 1], weights sum to 2
    start = _baseline(baseline, images)
    change = images.detach() - start
    total = torch.zeros((), device=images.device)
    for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
        slopes, _ = pixel_slopes(model, start + (point + 1) / 2 * change, indices)
        total = total + slopes * (weight / 2)
    return as_asked((change[:, None].float() * total).sum(dim=2), several)


def _baseline(baseline: Any, images: Tensor) -> Tensor:
    """The images of the baseline, (B, C, H, W)."""
    with suppress(TypeError, ValueError, RuntimeError):
        start = torch.as_tensor(baseline).detach().to(images).expand_as(images)
        if bool(torch.isfinite(start).all()):
            return start
    raise LookcloserError(
        f"baseline = {baseline!r:.60}",
        allowed=f"a finite number, or numbers that broadcast to {tuple(images.shape)}",
    )
