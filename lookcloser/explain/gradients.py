"""Whether a network has gradients at all."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError


def is_quantized(model: nn.Module) -> bool:
    """Whether a network has layers or numbers of a few bits, which have no gradients."""
    kinds = {type(module) for module in model.modules()}
    # FloatFunctional lives beside the quantized layers and adds as ever.
    layers = any(".quantized" in k.__module__ and k.__name__ != "FloatFunctional" for k in kinds)
    return layers or any(tensor.is_quantized for tensor in (*model.parameters(), *model.buffers()))


def check_slope(model: nn.Module, logits: Tensor) -> None:
    """Raise a `LookcloserError` where no gradient goes from the logits back to the image."""
    if not logits.requires_grad:
        raise LookcloserError(
            f"{type(model).__name__}: no gradient flows from its answer back to the image",
            fix="Use occlusion or rise, which need none",
        )


def check_has_gradients(model: nn.Module) -> None:
    """Raise a `LookcloserError` for a quantized network."""
    if is_quantized(model):
        raise LookcloserError(
            f"{type(model).__name__}: is quantized, so it has no gradients",
            fix="Explain the network before it was quantized, or use occlusion, rise, scorecam or "
            "eigencam",
        )
