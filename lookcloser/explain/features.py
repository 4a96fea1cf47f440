"""A layer's features and their gradients: the forward half of every map drawn from one layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import watching
from lookcloser.explain.context import full_precision, looking
from lookcloser.explain.gradients import check_has_gradients
from lookcloser.explain.layers import (
    Spatial,
    forget,
    module_named,
    not_run,
    spatial_layer,
    tensor_of,
)
from lookcloser.explain.outputs import logits_from, run, with_late_gradients
from lookcloser.explain.targets import Targets, as_asked, class_indices

_TOGETHER = 2**22  # numbers in the gradients of the targets whose ways back are taken at once


def features_of(
    model: nn.Module, images: Tensor, layer: str | nn.Module | None = None
) -> tuple[Tensor, Any]:
    """Features float32 (B, D, h, w) of a layer, by default the last spatial one, and the output."""
    where = spatial_layer(model, images, layer)
    seen: list[Tensor] = []

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> Any:
        seen[:] = [tensor_of(output, name)]
        return output.clone()  # what follows in place must not reach our features

    hooked = {where.layer: module_named(model, where.layer)}
    with looking(model, images) as pixels, watching(hooked, see):
        output = run(model, pixels)
    features = _places(seen, where, len(images))
    return (features.dequantize() if features.is_quantized else features.float()), output


def weighted_maps(
    model: nn.Module,
    images: Tensor,
    targets: Targets,
    layer: str | nn.Module | None,
    weigh: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """One map per target from a layer's features and the gradients of the target's logit there.

    The graph is built from the layer onwards only, so that memory stays near that of a bare
    forward pass; all targets share the forward pass.

    Args:
        model: Any network.
        images: (B, 3, H, W).
        targets: See `class_indices`.
        layer: A module or its name; None takes the last one with a grid.
        weigh: From features and gradients, float32 (B, D, h, w) each, to maps (B, h, w).

    Raises:
        LookcloserError: For an unknown layer, one that is not spatial or has no say in the logits,
            and targets out of range.
    """
    where = spatial_layer(model, images, layer)
    check_has_gradients(model)
    maps = with_late_gradients(partial(_weighted, model, images, targets, where, weigh))
    if layer is None and not bool(maps.any()):
        # Its weights may have been changed through `.data`, which the memory does not see.
        forget(model)
        now = spatial_layer(model, images, None)
        if now != where:
            return with_late_gradients(partial(_weighted, model, images, targets, now, weigh))
    return maps


def _weighted(
    model: nn.Module,
    images: Tensor,
    targets: Targets,
    where: Spatial,
    weigh: Callable[[Tensor, Tensor], Tensor],
    everywhere: bool,
) -> Tensor:
    """`weighted_maps` of a found layer, with gradients on from there on, or ``everywhere``."""
    seen: list[Tensor] = []

    def see(name: str, _inputs: tuple[Any, ...], output: Any) -> Tensor:
        leaf = tensor_of(output, name).detach().requires_grad_()
        seen[:] = [leaf]
        torch.set_grad_enabled(True)  # from here on; the block below puts it back
        copy: Tensor = leaf.clone()  # what follows in place must not reach our features
        return copy

    with looking(model, images, everywhere) as pixels:
        with watching({where.layer: module_named(model, where.layer)}, see):
            logits = logits_from(model, pixels)
        indices, several = class_indices(targets, logits)
        features = _places(seen, where, len(images)).detach().float()
        together = max(1, _TOGETHER // seen[0].numel())
        with full_precision(images):
            maps = [
                weigh(features, where.layout.places(slope).float())
                for (slope,) in target_slopes(logits, indices, seen[0], together=together)
            ]
    return as_asked(torch.stack(maps, dim=1), several)


def target_slopes(
    logits: Tensor, indices: Tensor, *sources: Tensor, together: int = 1
) -> Iterator[tuple[Tensor, ...]]:
    """∂(logit of each image's k-th target)/∂source for every source, for each k of (B, K).

    One way back serves the whole batch: images do not mix in evaluation mode.

    Args:
        logits: (B, C).
        indices: (B, K) classes.
        sources: What the logits depend on.
        together: Number of targets whose ways back are taken at once. Faster near the head; every
            gradient on the way is that many times as large.

    Raises:
        LookcloserError: Where the logits do not depend on a source.
    """
    chunks = torch.split(indices, together, dim=1)
    for number, classes in enumerate(chunks, start=1):
        for slopes in _ways_back(logits, classes, sources, more=number < len(chunks)):
            known = tuple(slope for slope in slopes if slope is not None)
            if len(known) < len(slopes):
                raise LookcloserError(
                    "the logits do not depend on what is looked at", fix="Look at another layer"
                )
            yield known


def _ways_back(
    logits: Tensor, classes: Tensor, sources: tuple[Tensor, ...], more: bool
) -> Iterator[tuple[Tensor | None, ...]]:
    """Gradients at the sources for each of ``classes`` (B, k), at once where that works.

    Unless there are ``more`` to come, the graph is freed on the last way back.
    """
    if not logits.requires_grad:
        yield (None,)
        return
    picked = F.one_hot(classes.T, logits.shape[1]).to(logits.dtype)  # (k, B, C)
    back = partial(torch.autograd.grad, logits, sources, allow_unused=True)
    if len(picked) > 1:
        # An operation of the user's own may know one way back at a time only.
        with suppress(RuntimeError):
            stacked = back(picked, retain_graph=True, is_grads_batched=True)
            for number in range(len(picked)):
                yield tuple(None if slopes is None else slopes[number] for slopes in stacked)
            return
    for left, one in zip(reversed(range(len(picked))), picked, strict=True):
        yield back(one, retain_graph=more or left > 0)


def _places(seen: list[Tensor], where: Spatial, batch: int) -> Tensor:
    """What a layer put out, as (B, D, h, w)."""
    if not seen:
        raise not_run(where.layer)
    if not where.layout.fits(seen[0], batch):
        raise LookcloserError(
            f"{where.layer}: its output {tuple(seen[0].shape)} is not a map for each of {batch} "
            "images",
            fix="Name another layer, or give the images one by one",
        )
    return where.layout.places(seen[0])
