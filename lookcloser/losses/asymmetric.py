"""Asymmetric loss for tags: most labels are absent, and most absent ones are easy."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core import LookcloserError


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    focus_present: float = 0.0,
    focus_absent: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """Binary cross-entropy that lets go of absent labels with a low score.

    Asymmetric loss (Ridnik et al., ICCV 2021). With p = sigmoid(logit) and the shifted
    ``q = max(p - margin, 0)``, a present label costs ``-(1 - p)^γ+ log p`` and an absent one
    ``-q^γ- log(1 - q)``: nothing at all below the margin. With both exponents and the margin 0 it
    is binary cross-entropy.

    Args:
        logits: (B, C), before the sigmoid. Half precision is computed in float32.
        targets: (B, C) in [0, 1].
        focus_present: γ+, at least 0.
        focus_absent: γ-, at least 0.
        margin: In [0, 1).

    Returns:
        A scalar: the sum over labels, its mean over images.

    Raises:
        LookcloserError: For an exponent or a margin outside its range.
    """
    if focus_present < 0 or focus_absent < 0 or not 0 <= margin < 1:
        raise LookcloserError(
            f"exponents {focus_present:g}, {focus_absent:g} and margin {margin:g}",
            allowed="Exponents of 0 or more, a margin from 0 to below 1",
        )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    present, absent = F.logsigmoid(logits), F.logsigmoid(-logits)
    if margin > 0:  # log(1 - q) = log min(1 - p + m, 1), from logarithms so that p = 1 is finite
        absent = torch.logaddexp(absent, absent.new_tensor(math.log(margin))).clamp(max=0.0)
    costs = targets * _focused(present, focus_present)
    costs = costs + (1 - targets) * _focused(absent, focus_absent)
    return costs.sum(dim=1).mean()


def _focused(log_right: Tensor, exponent: float) -> Tensor:
    """``-(1 - r)^γ log r`` from log r, r being the probability of what is right."""
    if exponent == 0:
        return -log_right
    # Kept off 0, where a power below 1 has no gradient.
    wrong = (-torch.expm1(log_right)).clamp(min=1e-12)
    return -(wrong**exponent) * log_right
