"""The block in which every view runs a user's network, and out of which nothing leaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lookcloser.core.hooks import evaluating


@contextmanager
def looking(model: nn.Module, images: Tensor, gradients: bool = False) -> Iterator[Tensor]:
    """``model`` in evaluation mode and gradients on or off, whatever is set around the block.

    Yields ``images`` cut from any graph of the caller's. Inside, tensors are ordinary ones also
    where the caller is in ``inference_mode``: only those can enter a graph.
    """
    with (
        evaluating(model),
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
    ):
        yield images.clone() if images.is_inference() else images.detach()


def full_precision(images: Tensor) -> torch.autocast:
    """The block for a view's own arithmetic: no autocast on the device of ``images``."""
    return torch.autocast(images.device.type, enabled=False)
