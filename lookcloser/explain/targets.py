"""What every view shares: targets in every form people give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.context import check_images, looking
from lookcloser.explain.outputs import logits_from, logits_of

Targets = int | Sequence[int] | Tensor | NDArray[Any] | None


def class_indices(targets: Targets, logits: Tensor) -> tuple[Tensor, bool]:
    """Targets as indices (B, K), and whether the K dimension was asked for.

    Args:
        targets: None for the best class of each image, a whole number (also a NumPy or tensor
            scalar) for the same class of every image, (B,) for one class per image, (B, K) for
            several. Rows of (B, C) with a single one among zeros are taken for one-hot if there
            are three classes or more; of bools and floats also with fewer.
        logits: (B, C).

    Raises:
        LookcloserError: For another form, or an index outside 0 … C - 1.
    """
    batch, classes = logits.shape
    if targets is None:
        return logits.argmax(dim=1, keepdim=True), False
    given = _as_tensor(targets)
    if given.ndim == 0:
        given = given.expand(batch)
    one_hot = _one_hot(given, batch, classes)
    if one_hot is not None:
        given = one_hot
    if given.is_floating_point() or given.dtype == torch.bool or given.is_complex():
        raise LookcloserError(
            f"targets of {_dtype(given)}", allowed="whole numbers: the places of classes"
        )
    if given.ndim not in (1, 2) or len(given) != batch or given.numel() == 0:
        raise LookcloserError(
            f"targets of shape {tuple(given.shape)} for a batch of {batch}",
            allowed=f"one int, None, shape ({batch},) or ({batch}, K)",
        )
    indices = given.to(logits.device).long().reshape(batch, -1)
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= classes:
        raise LookcloserError(
            f"target {low if low < 0 else high}: no such class", allowed=f"0 … {classes - 1}"
        )
    return indices, given.ndim == 2


def _as_tensor(targets: Any) -> Tensor:
    """Numbers in any form as a tensor."""
    try:
        if isinstance(targets, Tensor):
            return targets.detach()
        array = np.asarray(
            [one.item() if isinstance(one, Tensor) and one.ndim == 0 else one for one in targets]
            if isinstance(targets, list | tuple)
            else targets
        )
        if array.dtype.kind in "biu":
            return torch.from_numpy(array.astype(bool if array.dtype.kind == "b" else np.int64))
        if array.dtype.kind == "f":
            return torch.from_numpy(array.astype(np.float64))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise LookcloserError(
        f"targets = {targets!r:.60}",
        allowed="numbers of classes: one int, one per image, or a row of them per image",
        fix="A network knows no names; the place of a name in your list of classes is its number",
    )


def _one_hot(given: Tensor, batch: int, classes: int) -> Tensor | None:
    """The classes of rows with a single one among zeros, (B,); None where they are no such rows."""
    if tuple(given.shape) != (batch, classes) or given.is_complex():
        return None
    numbers = not (given.is_floating_point() or given.dtype == torch.bool)
    if numbers and classes < 3:  # [0, 1] asks for both of two classes
        return None
    ones, zeros = given == 1, given == 0
    single = bool((ones | zeros).all()) and bool((ones.sum(dim=1) == 1).all())
    return ones.long().argmax(dim=1) if single else None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def chosen(model: nn.Module, images: Tensor, targets: Targets) -> tuple[Tensor, bool]:
    """`class_indices` from a forward pass of the images as they are, without gradients."""
    check_images(model, images)
    with looking(model, images) as pixels:
        return class_indices(targets, logits_from(model, pixels))


def counted(targets: Targets, output: Any) -> tuple[int, bool]:
    """How many maps are wanted of a view that is the same for every class, and whether as (B, K).

    Without targets nothing is asked of the output, so that a network needs no classifier.
    """
    if targets is None:
        return 1, False
    logits = logits_of(output)
    indices, several = class_indices(targets, logits)
    return indices.shape[1], several


def as_asked(maps: Tensor, several: bool) -> Tensor:
    """Maps (B, K, ...) without the K dimension where one target per image was asked for."""
    return maps if several else maps[:, 0]
