"""How the outputs of a transformer's attentions go back to the patches of the image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.sizes import Grid
from lookcloser.explain.attention import AttentionWeights
from lookcloser.explain.borders import borders, changes_of, check_sides
from lookcloser.explain.context import looking
from lookcloser.explain.gradients import check_has_gradients
from lookcloser.explain.layers import blind, blind_error
from lookcloser.explain.outputs import run
from lookcloser.explain.places import Layout, find_layout, probes
from lookcloser.explain.remembered import Remembered
from lookcloser.explain.returned import scores_of

# By the number of outputs of the last attention: those that the answer is read from.
_read: Remembered[Tensor] = Remembered()
# By the size of the image and the number of tokens: which of them are places.
_patches: Remembered[Layout] = Remembered()


def through(
    model: nn.Module, images: Tensor, joint: Tensor | None, weights: Tensor, share: float
) -> Tensor:
    """How outputs depend on the first tokens, after one more attention: share · (R + A R).

    Args:
        model: Named in the error.
        images: (B, 3, H, W).
        joint: R, (B, N, tokens) of what came before; None for the first attention.
        weights: A, (B, M, N), heads put together. The residual connection keeps R beside A R; an
            attention that pools the tokens, M ≠ N, has none and gives A R.
        share: 1/2 keeps the rows' sum, 1 adds up.

    Raises:
        LookcloserError: For attention inside windows, or tokens that are not those of before.
    """
    tokens = weights.shape[-1]
    known = joint is None or joint.shape[1] == tokens
    if weights.ndim != 3 or len(weights) != len(images) or not known:
        raise LookcloserError(
            f"{type(model).__name__}: its attentions do not all see the same tokens of the whole "
            "image (windows, or pooling in between)",
            fix="Use gradcam",
        )
    if joint is None:
        joint = torch.eye(tokens, device=weights.device).expand(len(weights), -1, -1)
    mixed = weights @ joint
    return (joint + mixed) * share if weights.shape[1] == tokens else mixed


def on_grid(model: nn.Module, images: Tensor, joint: Tensor, read: Tensor) -> Tensor:
    """The mean of the rows that are ``read`` (M,) of ``joint`` (B, M, tokens) as (B, h, w).

    Raises:
        LookcloserError: Where the tokens are not the patches of the images.
    """
    layout = _patch_layout(model, images, joint.shape[2])
    return layout.arranged(joint[:, None, read].mean(dim=2))[:, 0]


def _patch_layout(model: nn.Module, images: Tensor, tokens: int) -> Layout:
    """Where the first attention's tokens lie: a token's weights change with its own patch."""
    size = Grid(*images.shape[-2:])
    known = _patches.get(model, (size, tokens))
    if known is not None:
        return known
    seen = _first_weights(model, images[:1], probes)
    layout = None if seen is None else find_layout(seen, size)
    usual = (0, 2, 1)
    if layout is None or layout.order != usual or layout.shape[0] != tokens:
        raise no_attention(model)
    at_borders = _first_weights(model, images[:1], partial(borders, grid=layout.size))
    if at_borders is not None:
        check_sides(model, changes_of(at_borders))
    _patches.put(model, (size, tokens), layout)
    return layout


def _first_weights(
    model: nn.Module, image: Tensor, changed: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """What the first attention gives each token for changed copies of an image, as features."""
    first: list[Tensor] = []

    def see(weights: Tensor) -> Tensor:
        if not first and weights.ndim == 4 and weights.shape[2] == weights.shape[3]:
            # As a query and as a key: (5, tokens, 2 · heads · tokens). In logarithms, as sharp
            # weights are all but 0 or 1.
            scores = weights.detach().float().clamp(min=1e-30).log()
            both = torch.cat((scores, scores.mT), dim=1)
            first.append(both.transpose(1, 2).flatten(2))
        return weights

    with looking(model, image) as own, AttentionWeights(see):
        run(model, changed(own))
    return first[0] if first else None


def no_attention(model: nn.Module) -> LookcloserError:
    """The error for a network in which nothing attends to patches."""
    return LookcloserError(
        f"{type(model).__name__} has no attention over the patches of a whole image",
        allowed="Plain vision transformers have it, such as vit_small_patch16_224.",
        fix="Use gradcam, which works on any network with gradients",
    )


def read_tokens(model: nn.Module, images: Tensor, outputs: int) -> Tensor:
    """Those of the ``outputs`` of the last attention that the answer is read from, bool (M,).

    The class token, the patches that are averaged, or what a pooling attention puts out: those
    that a gradient reaches. Found with the first image and remembered.

    Raises:
        LookcloserError: Where the answer does not depend on them, and for a quantized network.
    """
    known = _read.get(model, outputs)
    if known is None:
        check_has_gradients(model)
        known = _tokens_with_say(model, images[:1])
        _read.put(model, outputs, known)
    return known.to(images.device)


def _tokens_with_say(model: nn.Module, image: Tensor) -> Tensor:
    last: list[Tensor] = []

    def see(weights: Tensor) -> Tensor:
        last[:] = [in_graph(weights)]
        return last[0]

    with looking(model, image, gradients=True) as pixels:
        with AttentionWeights(see):
            top = scores_of(run(model, pixels))
        slope: Any = None
        if top.requires_grad:
            (slope,) = torch.autograd.grad(top, last, allow_unused=True)
    read = None if slope is None else rows_with_slope(slope)
    if read is None or not bool(read.any()):
        raise blind_error(model) if blind(model, image) else no_attention(model)
    return read


def in_graph(weights: Tensor) -> Tensor:
    """``weights``, as the start of a graph where nothing before them has one."""
    return weights if weights.requires_grad else weights.detach().requires_grad_()


def rows_with_slope(slope: Tensor) -> Tensor:
    """Which rows of attention weights matter, bool (M,), from their gradient (B, heads, M, N)."""
    return slope.ne(0).any(dim=3).any(dim=1).any(dim=0)
