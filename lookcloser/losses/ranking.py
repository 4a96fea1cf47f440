"""Losses that teach an attention proposal where to look (RA-CNN; Fu et al., CVPR 2017)."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.choices import RankingForm
from lookcloser.core.errors import unknown


def pairwise_ranking_loss(
    coarse_logits: Tensor,
    fine_logits: Tensor,
    targets: Tensor,
    margin: float = 0.05,
    form: RankingForm = "probability",
) -> Tensor:
    """The finer scale shall be surer of the true class than the coarser one, by ``margin``.

    ``mean_b max(0, p_coarse - p_fine + margin)``, p the softmax probability of the true class. The
    coarse side is a constant: else the loss could be lowered by making the coarse scale worse.

    The gradient of the probability form has the factor ``p (1 - p)``: it dies for a true class
    that is nearly certain (0.13 at p = 0.85, 1e-5 at 0.99999) and for one that is hopeless. The
    "log" form compares ``log p`` and has the factor ``1 - p``: it fixes the second case only.
    Beside either, `area_prior` still moves the box when the classifiers are sure.

    Args:
        coarse_logits: (B, C), before softmax.
        fine_logits: (B, C) of the next scale.
        targets: (B,) true classes.
        margin: In probability for the first form, in nats for the second.
        form: "probability" (the paper) or "log".

    Returns:
        A scalar; float32 or better.

    Raises:
        LookcloserError: If the form is unknown.
    """
    if form not in get_args(RankingForm):
        raise unknown(form, "form of the ranking loss", get_args(RankingForm))
    coarse = _log_probability(coarse_logits.detach(), targets)
    fine = _log_probability(fine_logits, targets)
    if form == "probability":
        coarse, fine = coarse.exp(), fine.exp()
    return (coarse - fine + margin).clamp(min=0).mean()


def area_prior(boxes: Tensor) -> Tensor:
    """The mean share of the image that the boxes cover: a term that keeps proposals small.

    Args:
        boxes: (B, 3), ``(cx, cy, half-side)`` with half-side 1 for the whole image.

    Returns:
        A scalar in [0, 1].
    """
    return boxes[:, 2].square().mean()


def _log_probability(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -F.cross_entropy(logits, targets, reduction="none")
