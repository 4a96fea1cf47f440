"""Building a network from a description that may come from anybody."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks

from lookcloser.core.errors import LookcloserError
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Model
from lookcloser.models.registry import build_model

Shapes = Mapping[str, tuple[int, ...]]

_SMALL = 4096  # numbers up to this are no danger in any network
# A network may make parts that it leaves out again, and parts without weights.
_MORE, _PARTS, _SPARE = 4, 40, 2000
# A backbone is made whole before it is cut at a stride: the file holds but the first stages.
_SPARE_VALUES = 2 * 10**8


def build_as(method: str, arguments: Mapping[str, Any], shapes: Shapes) -> Model:
    """A model with random weights whose tensors have just these shapes.

    What it would be is found out first, without memory for its weights and within bounds that
    follow from ``shapes``: a description of a few bytes may ask for any number of layers.

    Args:
        method: A name in `METHODS`.
        arguments: Of its constructor.
        shapes: Of the tensors of its state dict, by name.

    Raises:
        LookcloserError: If the description is of no model, or of another one.
    """
    largest = max([_SMALL, *(side for shape in shapes.values() for side in shape)])
    # Lists of the methods' own are statistics of the data, such as how often each label comes.
    own = {name: value for name, value in arguments.items() if not isinstance(value, list)}
    _check_numbers(own, largest)
    with _bounded(shapes):
        try:
            with torch.device("meta"):
                planned = build_model(method, arguments)
        except (NotImplementedError, RuntimeError):  # it looks at values while it is built
            planned = build_model(method, arguments)
    made = {name: tuple(value.shape) for name, value in planned.state_dict().items()}
    # Layers that no feature depends on are in files of before, and are passed over.
    dropped = _dropped(planned)
    shapes = {name: shape for name, shape in shapes.items() if name not in dropped}
    if made != shapes:
        missing = sorted(made.keys() ^ shapes.keys())
        other = sorted(name for name in made.keys() & shapes.keys() if made[name] != shapes[name])
        name = (missing + other)[0]
        raise LookcloserError(
            f"{len(missing) + len(other)} tensors are of another network, e.g. {name}: "
            f"{shapes.get(name, 'not there')}, should be {made.get(name, 'not there')}"
        )
    return build_model(method, arguments)


def _dropped(model: Model) -> set[str]:
    """Names, in the state dict of a model, of what its backbones leave out of timm's networks."""
    return {
        f"{prefix}.net.{name}"
        for prefix, part in model.named_modules()
        if isinstance(part, Backbone)
        for name in part.dropped
    }


def _check_numbers(value: Any, largest: int) -> None:
    """No count or size in a description is larger than every side of every tensor."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            _check_numbers(part, largest)
    elif isinstance(value, int | float) and not abs(value) <= largest:  # also what is no number
        raise LookcloserError(f"{value} is too large for a network with these tensors")


@contextmanager
def _bounded(shapes: Shapes) -> Iterator[None]:
    """Within the block this thread builds no network that is much larger than ``shapes``."""
    own = threading.get_ident()
    room = {
        "parts": _PARTS * len(shapes) + _SPARE,
        "tensors": _MORE * len(shapes) + _SPARE,
        "values": _MORE * sum(_product(shape) for shape in shapes.values()) + _SPARE_VALUES,
    }

    def spend(kind: str, amount: int) -> None:
        if threading.get_ident() == own:
            room[kind] -= amount
            if room[kind] < 0:
                raise LookcloserError("the network would be much larger than the file")

    def on_part(_module: nn.Module, _name: str, _part: nn.Module) -> None:
        spend("parts", 1)

    def on_tensor(_module: nn.Module, _name: str, tensor: torch.Tensor | None) -> None:
        spend("tensors", 1)
        spend("values", 0 if tensor is None else tensor.numel())

    handles = (
        hooks.register_module_module_registration_hook(on_part),
        hooks.register_module_parameter_registration_hook(on_tensor),
        hooks.register_module_buffer_registration_hook(on_tensor),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
