"""Other rules for the way back through a ReLU, for modules and functions alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lookcloser.core.errors import LookcloserError
from lookcloser.explain.pixels import pixel_slopes, strongest
from lookcloser.explain.targets import Targets, as_asked

# nn.ReLU calls one of these, nn.ReLU6 calls hardtanh from 0 to 6.
_RECTIFIERS: tuple[Callable[..., Tensor], ...] = (
    F.relu,
    F.relu6,
    torch.relu,
    torch.relu_,
    torch.Tensor.relu,
    torch.Tensor.relu_,
)


class PositiveGradients(TorchFunctionMode):
    """Inside the block, only positive gradients go back through a ReLU.

    A mode of the calling thread sees each call of a function, so that the network itself is not
    changed and other threads do not notice.

    Args:
        gated: Whether the ReLU's own gradient applies as well: True is guided back-propagation,
            False the deconvnet.
    """

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.gated = gated
        self.met = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call ``func``; where it is a ReLU, with the other way back."""
        kwargs = dict(kwargs or {})
        if not (func in _RECTIFIERS or (func is F.hardtanh and kwargs["min_val"] == 0)):
            return func(*args, **kwargs)
        hidden, *rest = args or (kwargs.pop("input"),)
        change = func if self.gated else _straight(func)
        result: Tensor = change(hidden, *rest, **kwargs)
        if result.requires_grad:
            result.register_hook(self._positive)  # type: ignore[no-untyped-call]  # so in torch
        return result

    def _positive(self, slope: Tensor) -> Tensor:
        # Counted here: a ReLU that the image does not pass through sends nothing back to it.
        self.met += 1
        return slope.clamp(min=0)


def _straight(func: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The values of a ReLU with the gradient of the identity: x + 0 and x + (0 - x) are exact."""

    def straight(hidden: Tensor, *rest: Any, **options: Any) -> Tensor:
        with torch.no_grad():
            copy = hidden.clone()
            values = func(copy, *rest, **options)
            in_place = values is copy
            change = values - hidden
        return hidden.add_(change) if in_place else hidden + change

    return straight


def rectified_slopes(model: nn.Module, images: Tensor, targets: Targets, gated: bool) -> Tensor:
    """Saliency with `PositiveGradients`.

    Raises:
        LookcloserError: Where no ReLU is on the way from the image to the logits, and for targets
            out of range.
    """
    with PositiveGradients(gated) as mode:
        maps, several = pixel_slopes(model, images, targets, strongest)
    if not mode.met:
        raise LookcloserError(
            f"{type(model).__name__}: calls no ReLU that can be seen on the way from the image, so "
            "that this view would be plain saliency",
            fix="Use saliency, or attention_relevance for a transformer",
        )
    return as_asked(maps, several)
