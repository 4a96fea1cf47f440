"""What every view shares: targets in every form people give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.context import check_images, is_dense, looking
from lookcloser.explain.outputs import logits_from
from lookcloser.explain.returned import logits_of

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
        LookcloserError: For another form, rows with several ones among zeros, or an index outside
            0 … C - 1.
    """
    batch, classes = logits.shape
    if targets is None:
        return logits.argmax(dim=1, keepdim=True), False
    given = numbers(targets)
    if given.ndim == 0:
        given = given.expand(batch)
    one_hot = _one_hot(given, batch, classes)
    if one_hot is not None:
        given = one_hot
    check_whole(given)
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


def numbers(targets: Any) -> Tensor:
    """Numbers in any form as a tensor.

    Raises:
        LookcloserError: For what holds no numbers: names, None among them, rows of other lengths,
            tensors that are sparse, nested, quantized or on the meta device.
    """
    try:
        if isinstance(targets, Tensor):
            if is_dense(targets):
                return targets.detach()
            raise ValueError
        array = np.asarray(
            [one.item() if isinstance(one, Tensor) and one.ndim == 0 else one for one in targets]
            if isinstance(targets, list | tuple)
            else targets
        )
        if array.dtype.kind in "bi" or (array.dtype.kind == "u" and array.max() < 2**63):
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


def check_whole(given: Tensor) -> None:
    """Raise a `LookcloserError` for targets that are not whole numbers."""
    if given.is_floating_point() or given.dtype == torch.bool or given.is_complex():
        raise LookcloserError(
            f"targets of {str(given.dtype).removeprefix('torch.')}",
            allowed="whole numbers: the places of classes",
        )


def _one_hot(given: Tensor, batch: int, classes: int) -> Tensor | None:
    """The classes of rows with a single one among zeros, (B,); None where they are no such rows."""
    if tuple(given.shape) != (batch, classes) or given.is_complex():
        return None
    whole = not (given.is_floating_point() or given.dtype == torch.bool)
    if whole and classes < 3:  # [0, 1] asks for both of two classes
        return None
    ones = given == 1
    if not bool((ones | (given == 0)).all()):
        return None
    if bool((ones.sum(dim=1) != 1).any()):
        raise LookcloserError(
            "targets in rows of zeros and ones, with none or several ones in a row",
            allowed="a single one in each row, or the places of classes",
            fix="Give the same number of places for each image, such as [[0, 2], [1, 2]]",
        )
    return ones.long().argmax(dim=1)


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
    """Maps (B, K, ...) without the K dimension where one target per image was asked for.

    Raises:
        LookcloserError: For maps that are not finite.
    """
    if not bool(torch.isfinite(maps).all()):
        raise LookcloserError(
            "the map has values that are not finite (NaN or infinity)",
            fix="Gradients overflow in float16: take bfloat16 or float32",
        )
    return maps if several else maps[:, 0]
