"""What every view shares: logits of any network, and targets in every form people give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.context import looking

Targets = int | Sequence[int] | Tensor | None


def logits_of(output: Any) -> Tensor:
    """The (B, C) logits in what a network returned: a tensor, or the field or item that holds them.

    Raises:
        LookcloserError: Where there is no tensor of two dimensions.
    """
    if isinstance(output, Mapping):
        output = output.get("logits", next(iter(output.values()), None))
    elif hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, tuple | list):
        output = output[0]
    if not isinstance(output, Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise LookcloserError(
            f"the model returned {shape}",
            allowed="Logits of shape (batch, classes), alone, first in a tuple, or as `logits`",
        )
    return output


def class_indices(targets: Targets, logits: Tensor) -> tuple[Tensor, bool]:
    """Targets as indices (B, K), and whether the K dimension was asked for.

    Args:
        targets: None for the best class of each image, an int for the same class of every image,
            (B,) for one class per image, (B, K) for several.
        logits: (B, C).

    Raises:
        LookcloserError: For another shape, or an index outside 0 … C - 1.
    """
    batch, classes = logits.shape
    if targets is None:
        return logits.argmax(dim=1, keepdim=True), False
    if isinstance(targets, int):
        indices = torch.full((batch, 1), targets, device=logits.device)
    else:
        indices = torch.as_tensor(targets, device=logits.device).long()
    several = indices.ndim == 2 and not isinstance(targets, int)
    if indices.ndim not in (1, 2) or len(indices) != batch:
        raise LookcloserError(
            f"targets of shape {tuple(indices.shape)} for a batch of {batch}",
            allowed=f"one int, None, shape ({batch},) or ({batch}, K)",
        )
    indices = indices.reshape(batch, -1)
    if indices.numel() and not (int(indices.min()) >= 0 and int(indices.max()) < classes):
        raise LookcloserError(
            f"target {int(indices.min() if indices.min() < 0 else indices.max())}: no such class",
            allowed=f"0 … {classes - 1}",
        )
    return indices, several


def chosen(model: nn.Module, images: Tensor, targets: Targets) -> tuple[Tensor, bool]:
    """`class_indices` from a forward pass of the images as they are, without gradients."""
    with looking(model, images) as pixels:
        return class_indices(targets, logits_of(model(pixels)))


def as_asked(maps: Tensor, several: bool) -> Tensor:
    """Maps (B, K, ...) without the K dimension where one target per image was asked for."""
    return maps if several else maps[:, 0]
