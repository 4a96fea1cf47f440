"""Multi-attention multi-class constraint (MAMC; Sun et al., ECCV 2018), exact in O(n²).

Every feature ``f_i^p`` (image i, attention p) is an anchor in turn. The others fall into four sets:

- SASC, same attention and same class: the same attention of *other* images of the class;
- SADC, same attention, different class;
- DASC, different attention, same class: including the other attentions of the same image;
- DADC, different attention, different class.

Each term pulls its positives closer than its negatives: (SASC; all the rest), (SADC; DADC),
(DASC; DADC). The anchor itself is in no set.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lookcloser.core import LookcloserError
from lookcloser.core.choices import MamcForm, Reduction
from lookcloser.core.errors import unknown


class MamcTerms(NamedTuple):
    """The three terms of the loss, each a scalar; their sum is the loss."""

    sasc: Tensor
    sadc: Tensor
    dasc: Tensor


def mamc_loss(
    features: Tensor,
    labels: Tensor,
    reduction: Reduction = "paper",
    *,
    form: MamcForm = "npair",
    margin: float = 1.0,
    chunk_size: int | None = None,
) -> Tensor:
    """The sum of the three terms of `mamc_terms`, which has the arguments and the errors."""
    terms = mamc_terms(features, labels, reduction, form=form, margin=margin, chunk_size=chunk_size)
    return terms.sasc + terms.sadc + terms.dasc


def mamc_terms(
    features: Tensor,
    labels: Tensor,
    reduction: Reduction = "paper",
    *,
    form: MamcForm = "npair",
    margin: float = 1.0,
    chunk_size: int | None = None,
) -> MamcTerms:
    """The three terms of the MAMC loss, for logging or for weights of their own.

    With the N-pair form, per anchor f, ``Σ_{f+} log(1 + Σ_{f-} exp(f·f- - f·f+))``, which is
    ``Σ_{f+} softplus(ℓ - f·f+)`` with ``ℓ = logsumexp(f·f-)``. With the hinge form,
    ``Σ_{f+} Σ_{f-} max(0, margin + |f - f+|² - |f - f-|²)``. An empty set adds 0.

    Any number of images per class works, also a different one for each. At random initialization
    the SADC term is by far the largest, because it has the most positives; "mean" evens that out.

    Args:
        features: (B, P, D), not normalized. Half precision is computed in float32, autocast off.
        labels: (B,) classes.
        reduction: "paper": the sum over the anchors, divided by the number of distinct classes.
            "mean": the mean over the summands of each term (pairs of anchor and positive; for the
            hinge, triplets).
        form: "npair" or "hinge".
        margin: Of the hinge form, in squared distance.
        chunk_size: Anchors at a time, of B·P. Less memory (a few arrays of chunk × B·P instead of
            (B·P)²) for one more forward computation; 512 of 16,384 stay below 2 GiB. None: all at
            once.

    Returns:
        Three scalars, float32 or better.

    Raises:
        LookcloserError: If shapes do not fit, or a name is unknown.
    """
    _check(features, labels)
    if reduction not in get_args(Reduction):
        raise unknown(reduction, "reduction", get_args(Reduction))
    if form not in get_args(MamcForm):
        raise unknown(form, "form of the MAMC loss", get_args(MamcForm))
    attentions = features.shape[1]
    with torch.autocast(features.device.type, enabled=False):
        flat = features.flatten(0, 1).to(torch.promote_types(features.dtype, torch.float32))
        sums = _sums(flat, labels, attentions, margin if form == "hinge" else None, chunk_size)
    return MamcTerms(*(sums / _divisors(labels, attentions, reduction, form).to(sums)))


def _sums(
    flat: Tensor, labels: Tensor, attentions: int, margin: float | None, chunk_size: int | None
) -> Tensor:
    """The three terms before the division; with chunks, each is recomputed for the gradient."""
    kinds = torch.arange(attentions, device=labels.device, dtype=labels.dtype).repeat(len(labels))
    identity = torch.stack((labels.repeat_interleave(attentions), kinds))
    if chunk_size is None or chunk_size >= len(flat):
        return _anchor_sums(flat, flat, identity, 0, margin)
    parts = [
        checkpoint(
            _anchor_sums,
            *(anchors, flat, identity, turn * chunk_size, margin),
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for turn, anchors in enumerate(torch.split(flat, chunk_size))
    ]
    return torch.stack(parts).sum(dim=0)


def _anchor_sums(
    anchors: Tensor, features: Tensor, identity: Tensor, start: int, margin: float | None
) -> Tensor:
    """The sums of the three terms over some anchors, the rows of ``features`` from ``start`` on.

    ``identity`` (2, n) has the class and the attention of each feature. N-pair where ``margin`` is
    None.
    """
    classes, kinds = identity
    rows = slice(start, start + len(anchors))
    same_class = classes[rows, None] == classes
    same_kind = kinds[rows, None] == kinds
    close, far = same_class & same_kind, ~(same_class | same_kind)
    sasc = close.clone()
    sasc.diagonal(start).fill_(False)  # the anchor is not its own positive
    positives = (sasc, same_kind & ~same_class, same_class & ~same_kind)
    whole = len(anchors) == len(features)
    products = _Products.apply(features) if whole else anchors @ features.T
    if margin is None:
        sums: Tensor = _NPairSums.apply(products, close, far, *positives)
        return sums
    squares = anchors.square().sum(1, keepdim=True) + features.square().sum(1)
    losses = _hinge(squares - 2 * products, close, far, margin)
    return torch.stack([(losses * chosen).sum() for chosen in positives])


class _Products(torch.autograd.Function):
    """``F Fᵀ``; knowing that it is symmetric saves one of the two products of the gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        return features @ features.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        features: Tensor = ctx.saved_tensors[0]
        return (gradient + gradient.T) @ features


class _NPairSums(torch.autograd.Function):
    """The three sums of ``softplus(ℓ - f·f+)``, with the gradient in closed form.

    ℓ of a SASC positive runs over all features that are not ``close``, that of the others over
    ``far``. With ``r = sigmoid(ℓ - f·f+)`` for the positives, the gradient of f·f_j is ``-r_j`` for
    a positive, plus ``Σ r`` times the softmax of j among the negatives.
    """

    @staticmethod
    def forward(
        ctx: Any, products: Tensor, close: Tensor, far: Tensor, *positives: Tensor
    ) -> Tensor:
        # Without negatives the level is -inf, and with it loss and gradient are 0.
        level_close = products.masked_fill(close, -torch.inf).logsumexp(dim=1, keepdim=True)
        level_rest = products.masked_fill(~far, -torch.inf).logsumexp(dim=1, keepdim=True)
        gaps = torch.where(close, level_close, level_rest) - products
        ctx.save_for_backward(products, gaps, level_close, level_rest, close, far, *positives)
        # Above its threshold softplus is the identity; at 50 nothing of float64 is lost.
        losses = F.softplus(gaps, threshold=50)
        return torch.stack([(losses * chosen).sum() for chosen in positives])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        products, gaps, level_close, level_rest, close, far, *positives = ctx.saved_tensors
        sasc, sadc, _ = positives
        weight = torch.where(sasc, gradient[0], torch.where(sadc, gradient[1], gradient[2]))
        pull = (gaps.sigmoid() * weight).masked_fill(far | (close & ~sasc), 0)
        of_close = (pull * close).sum(dim=1, keepdim=True)
        of_rest = pull.sum(dim=1, keepdim=True) - of_close
        push = (products - level_close).exp().masked_fill(close, 0) * of_close
        push += (products - level_rest).exp().masked_fill(~far, 0) * of_rest
        return (push - pull, None, None, None, None, None)


def _hinge(distance: Tensor, close: Tensor, far: Tensor, margin: float) -> Tensor:
    """What each column costs as a positive of its row's anchor, without a loop over negatives.

    Sorting counts the negatives that are nearer than the positive plus the margin.
    """
    reach = distance + margin

    def against(negatives: Tensor) -> Tensor:
        nearest = distance.masked_fill(~negatives, torch.inf).sort(dim=1).values
        inside = torch.searchsorted(nearest.detach(), reach.detach())
        # In float64: the sums of many distances are subtracted from each other.
        total = F.pad(nearest.cumsum(dim=1, dtype=torch.float64), (1, 0))
        return (inside * reach - total.gather(1, inside)).to(distance.dtype)

    return torch.where(close, against(~close), against(far))


def _divisors(labels: Tensor, attentions: int, reduction: Reduction, form: MamcForm) -> Tensor:
    """What the sum of each term is divided by, never 0."""
    counts: Tensor = torch.unique(labels, return_counts=True)[1]
    if reduction == "paper":
        return counts.new_full((3,), len(counts))
    images = counts.sum()
    positives = torch.stack((counts - 1, images - counts, (attentions - 1) * counts))
    if form == "hinge":
        dadc = (attentions - 1) * (images - counts)
        positives = positives * torch.stack((attentions * images - counts, dadc, dadc))
    summands = attentions * counts * positives
    return summands.sum(dim=1).clamp(min=1)


def _check(features: Tensor, labels: Tensor) -> None:
    if features.ndim != 3 or labels.shape != features.shape[:1] or not len(labels):
        raise LookcloserError(
            f"features of shape {tuple(features.shape)} with labels {tuple(labels.shape)}",
            allowed="Features are (B, P, D), images × attentions × width; labels are (B,).",
            fix="A single vector per image is P = 1: `features[:, None]`",
        )
