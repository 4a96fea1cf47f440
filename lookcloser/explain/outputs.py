"""Running a user's network, and the one (B, C) tensor of what it returns that is explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown

T = TypeVar("T")
# How torch begins its refusal; see `with_late_gradients`.
_EARLIER_VIEW = "A view was created in no_grad mode"
# What networks call the numbers that a classifier would still have to read.
_FEATURES = ("embed", "feature", "hidden", "pooler", "pooled", "projection", "representation")


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
        parts = dict(_parts(self.network(images)))
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
            and outputs among which the logits are not to be told.
    """
    if getattr(model, "num_classes", None) == 0:
        raise LookcloserError(
            f"{type(model).__name__}: has no classifier (num_classes=0), so that it names no class",
            fix="Use eigencam or attention_rollout, which ask for none",
        )
    logits = logits_of(run(model, images))
    if len(logits) != len(images):
        raise LookcloserError(
            f"the model returned {tuple(logits.shape)} for {len(images)} images",
            allowed="Logits of shape (batch, classes)",
        )
    return logits


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
            fix="Give images as the network was trained on: channels, size, type and device",
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


def logits_of(output: Any) -> Tensor:
    """The (B, C) logits in what a network returned.

    That is a tensor, the field or key ``logits``, or the only tensor of two dimensions among the
    outputs.

    Raises:
        LookcloserError: Where there is none, or where several may be meant.
    """
    parts = dict(_parts(output))
    if "logits" in parts:
        parts = {"logits": parts["logits"]}
    found = {name: part for name, part in parts.items() if part.ndim == 2}
    if len(found) > 1:
        several = ", ".join(f"{name} {tuple(part.shape)}" for name, part in found.items())
        names = " or ".join(name if name.isdigit() else repr(name) for name in found)
        raise LookcloserError(
            f"the model returned {several}: which of them is meant is not to be told",
            fix=f"Name one: `NamedOutput(model, output)` for the model, with output = {names}",
        )
    shape: Any = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    if not found:
        raise LookcloserError(
            f"the model returned {shape}",
            allowed="Logits of shape (batch, classes), alone or as the only such output",
        )
    ((name, logits),) = found.items()
    if any(word in name.lower() for word in _FEATURES):
        raise LookcloserError(
            f"the model returned {name} {tuple(logits.shape)}: features, not the logits of classes",
            fix="Use eigencam or attention_rollout, which ask for no class; where these are "
            f"classes, `NamedOutput(model, {name!r})`",
        )
    return logits


def scores_of(output: Any) -> Tensor:
    """One number that stands for all that a network answers: logits, or features where it has none.

    Raises:
        LookcloserError: Where nothing that was returned is a tensor of numbers.
    """
    parts = [part for _, part in _parts(output) if part.is_floating_point()]
    if not parts:
        raise LookcloserError(
            f"the model returned {type(output).__name__}", allowed="One or more tensors"
        )
    chosen = max(parts, key=lambda part: part.ndim == 2)  # the first one where none has two
    return chosen.amax(dim=-1).sum() if chosen.ndim == 2 else chosen.square().sum()


def _parts(output: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors of an output by name, those without one by number."""
    items: Any
    if isinstance(output, Tensor):
        items = [("output", output)]
    elif isinstance(output, Mapping):
        items = output.items()
    elif hasattr(output, "_asdict"):
        items = output._asdict().items()
    elif isinstance(output, tuple | list):
        items = enumerate(output)
    elif is_dataclass(output):
        items = [(field.name, getattr(output, field.name)) for field in fields(output)]
    else:
        items = [("logits", getattr(output, "logits", None))]
    for name, part in items:
        if isinstance(part, Tensor):
            yield str(name), part
