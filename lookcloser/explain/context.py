"""The block in which every view runs a user's network, and out of which nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating


@contextmanager
def looking(model: nn.Module, images: Tensor, gradients: bool = False) -> Iterator[Tensor]:
    """``model`` in evaluation mode and gradients on or off, whatever is set around the block.

    Yields ``images`` cut from any graph of the caller's. Inside, tensors are ordinary ones also
    where the caller is in ``inference_mode``: only those can enter a graph.

    Raises:
        LookcloserError: For what is no network, or no batch of images.
    """
    with (
        evaluating(model),
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
    ):
        yield images.clone() if images.is_inference() else images.detach()


def check_images(model: Any, images: Any) -> None:
    """Raise a `LookcloserError` unless these are a network and a batch of images (B, C, H, W)."""
    if not isinstance(model, nn.Module):
        raise LookcloserError(f"model of type {type(model).__name__}", allowed="A torch.nn.Module")
    if not isinstance(images, Tensor):
        raise LookcloserError(
            f"images of type {type(images).__name__}",
            allowed="a tensor (batch, channels, height, width), normalized as for training",
        )
    if not is_dense(images):
        raise LookcloserError(
            "images that are sparse, nested, quantized or on the meta device",
            allowed="a dense tensor of floating point numbers",
        )
    if images.ndim != 4 or 0 in images.shape:
        raise LookcloserError(
            f"images of shape {tuple(images.shape)}",
            allowed="(batch, channels, height, width), none of them 0",
            fix="One image needs a batch of its own: `image[None]`" if images.ndim == 3 else None,
        )
    if not images.is_floating_point():
        raise LookcloserError(
            f"images of {str(images.dtype).removeprefix('torch.')}",
            allowed="floating point, normalized as for training",
        )
    if not bool(torch.isfinite(images).all()):
        raise LookcloserError("the images have values that are not finite (NaN or infinity)")


def is_dense(tensor: Tensor) -> bool:
    """Whether a tensor holds plain numbers: not sparse, nested, quantized or on the meta device."""
    return tensor.layout is torch.strided and not (
        tensor.is_nested or tensor.is_quantized or tensor.is_meta
    )


def at_least(least: float, **numbers: Any) -> None:
    """Raise a `LookcloserError` for an argument that is no finite number, or below ``least``."""
    for name, number in numbers.items():
        if not (isinstance(number, Real) and least <= float(number) < float("inf")):
            raise LookcloserError(f"{name} = {number!r:.60}", allowed=f"a number, {least} or more")


def seeded(seed: Any) -> torch.Generator:
    """A source of random numbers that leaves torch's own alone.

    Raises:
        LookcloserError: For a seed that is no whole number of 64 bits.
    """
    if not (isinstance(seed, Integral) and -(2**63) <= int(seed) < 2**63):
        raise LookcloserError(f"seed = {seed!r:.60}", allowed="a whole number of 64 bits")
    return torch.Generator().manual_seed(int(seed))


def full_precision(images: Tensor) -> torch.autocast:
    """The block for a view's own arithmetic: no autocast on the device of ``images``."""
    return torch.autocast(images.device.type, enabled=False)
