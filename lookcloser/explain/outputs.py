"""Running a user's network for the logits that are explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.hooks import watching
from lookcloser.explain.returned import check_finite, logits_of, parts_of

T = TypeVar("T")
# How torch begins its refusal; see `with_late_gradients`.
_EARLIER_VIEW = "A view was created in no_grad mode"
# What networks call their classifier.
_CLASSIFIERS = ("classifier", "fc", "head", "heads", "last_linear")


class NamedOutput(nn.Module):
    """A network of which one output is explained, by its name or its number.

    Views take the only output of a network with two dimensions, or the one called ``logits``. Where
    there are several, wrap the network: ``gradcam(NamedOutput(model, "species"), images)``. Names
    of layers are those of the network itself.

    Args:
        network: Returns a mapping, a tuple or an object with fields.
        output: The key, the field or the place of what is explained.
    """

    def __init__(self, network: nn.Module, output: str | int) -> None:
        super().__init__()
        self.network = network
        self.output = output

    def forward(self, images: Tensor) -> Tensor:
        """The chosen output.

        Raises:
            LookcloserError: Where the network has no such output.
        """
        parts = dict(parts_of(self.network(images)))
        name = str(self.output)
        if name not in parts:
            raise unknown(name, "output", parts)
        return parts[name]

    def named_modules(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Module]]:
        """Those of the network, under their own names."""
        named: Iterator[tuple[str, nn.Module]] = self.network.named_modules(*args, **options)
        return named


class NetworkError(LookcloserError, RuntimeError):
    """A network refused the images. It is also the RuntimeError that layers of torch raise."""


def logits_from(model: nn.Module, images: Tensor) -> Tensor:
    """The (B, C) logits of images.

    Raises:
        LookcloserError: For images that the network cannot take, a network without a classifier,
            outputs among which the logits are not to be told, and logits that are not finite.
    """
    if getattr(model, "num_classes", None) == 0:
        raise _no_classifier(model, "num_classes=0")
    left_out = [] if isinstance(model, NamedOutput) else _left_out(model)
    passed: dict[str, Any] = {}
    with watching(dict(left_out), lambda name, _inputs, output: passed.update({name: output})):
        output = run(model, images)
    for name, through in passed.items():
        if through is output:
            raise _no_classifier(model, f"{name} is nn.Identity")
    return _logits_in(output, images)


def logits_again(model: nn.Module, images: Tensor) -> Tensor:
    """`logits_from` a network that gave logits when it was built as it is now; images may be bad.

    Its classifier is not looked for once more, which would cost a walk through all modules.
    """
    return _logits_in(run(model, images), images)


def _logits_in(output: Any, images: Tensor) -> Tensor:
    logits = logits_of(output)
    if len(logits) != len(images):
        raise LookcloserError(
            f"the model returned {tuple(logits.shape)} for {len(images)} images",
            allowed="Logits of shape (batch, classes)",
        )
    check_finite(logits)
    return logits


def _left_out(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Places of classifiers that hold none: an answer that comes from there is of features."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if type(module) is nn.Identity and name.split(".")[-1] in _CLASSIFIERS
    ]


def _no_classifier(model: nn.Module, why: str) -> LookcloserError:
    return LookcloserError(
        f"{type(model).__name__}: has no classifier ({why}), so it names no class",
        fix="Use eigencam or attention_rollout, which need no class",
    )


def run(model: nn.Module, images: Tensor) -> Any:
    """What the network returns; images that it cannot take are said to be such.

    Raises:
        NetworkError: Where the network fails with a RuntimeError, ValueError or AssertionError,
            which is how layers refuse a shape or a type. Running out of memory stays what it is.
    """
    try:
        return model(images)
    except (LookcloserError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise NetworkError(
            f"{type(model).__name__}: cannot be run on images {tuple(images.shape)} of "
            f"{str(images.dtype).removeprefix('torch.')}: {reason}",
            fix="Give images as in its training: channels, size, type and device",
        ) from error


def with_late_gradients(attempt: Callable[[bool], T]) -> T:
    """What ``attempt`` gives where gradients are switched on in the middle of a network.

    It is told whether to have them on everywhere instead: a network that changes a view of an
    earlier tensor in place (``part = x[:, :8]``, then ``part += …``) may not have that view made
    without gradients, as GhostNet does. That takes the memory of a whole graph.
    """
    try:
        return attempt(False)
    except NetworkError as error:
        if _EARLIER_VIEW not in str(error):
            raise
    return attempt(True)
