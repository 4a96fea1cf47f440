"""How the outputs of a transformer's attentions go back to the patches of the image."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.attention import AttentionWeights
from lookcloser.explain.context import looking
from lookcloser.explain.features import target_slopes
from lookcloser.explain.layers import Grid, as_map
from lookcloser.explain.targets import logits_of

# model -> number of outputs of its last attention -> those that the logits are read from
_read: WeakKeyDictionary[nn.Module, dict[int, Tensor]] = WeakKeyDictionary()


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


def on_grid(model: nn.Module, joint: Tensor, read: Tensor, size: Grid) -> Tensor:
    """The mean of the rows that are ``read`` (M,) of ``joint`` (B, M, tokens) as (B, h, w).

    Raises:
        LookcloserError: Where the tokens are not the patches of an image of ``size`` (H, W).
    """
    grid = as_map(joint[:, read].mean(dim=1)[..., None], size)
    if grid is None:
        raise no_attention(model)
    return grid[:, 0]


def no_attention(model: nn.Module) -> LookcloserError:
    """The error for a network in which nothing attends to patches."""
    return LookcloserError(
        f"{type(model).__name__} has no attention over the patches of a whole image",
        allowed="Plain vision transformers have it, such as vit_small_patch16_224.",
        fix="Use gradcam, which asks nothing of the network",
    )


def read_tokens(model: nn.Module, images: Tensor, outputs: int) -> Tensor:
    """Those of the ``outputs`` of the last attention that the logits are read from, bool (M,).

    The class token, the patches that are averaged, or what a pooling attention puts out: those
    that a gradient reaches. Found with the first image and remembered.
    """
    known = _read.setdefault(model, {})
    if outputs not in known:
        last: list[Tensor] = []

        def see(weights: Tensor) -> Tensor:
            last[:] = [in_graph(weights)]
            return last[0]

        with looking(model, images[:1], gradients=True) as pixels:
            with AttentionWeights(see):
                logits = logits_of(model(pixels))
            ((slope,),) = target_slopes(logits, logits.argmax(dim=1, keepdim=True), last[0])
        known[outputs] = rows_with_slope(slope)
    return known[outputs].to(images.device)


def in_graph(weights: Tensor) -> Tensor:
    """``weights``, as the start of a graph where nothing before them has one."""
    return weights if weights.requires_grad else weights.detach().requires_grad_()


def rows_with_slope(slope: Tensor) -> Tensor:
    """Which rows of attention weights matter, bool (M,), from their gradient (B, heads, M, N)."""
    return slope.ne(0).any(dim=3).any(dim=1).any(dim=0)
