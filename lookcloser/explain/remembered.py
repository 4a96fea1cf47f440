"""What was found out about a network, for as long as the network is built as it was."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor, nn

T = TypeVar("T")

_PLAIN = (bool, int, float, str, type(None))


class Remembered(Generic[T]):
    """A memory by network and key that forgets a network as soon as it is built otherwise.

    Every look-up compares the network with the one of before: its modules, their types and their
    attributes, so that a replaced head or another kind of pooling is noticed. What depends on the
    weights has to be checked by whoever looks it up.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, tuple[int, dict[Hashable, T]]]
        self._known = WeakKeyDictionary()

    def get(self, model: nn.Module, key: Hashable) -> T | None:
        """What is known for ``key``; None where nothing is, or the network has changed."""
        built, found = self._known.get(model, (0, {}))
        return found.get(key) if found and built == structure_of(model) else None

    def put(self, model: nn.Module, key: Hashable, value: T) -> None:
        """Keep ``value`` for the network as it is now."""
        built, found = self._known.get(model, (0, {}))
        now = structure_of(model)
        kept = found if built == now else {}
        self._known[model] = (now, {**kept, key: value})

    def forget(self, model: nn.Module) -> None:
        """Drop everything about one network."""
        self._known.pop(model, None)


def structure_of(model: nn.Module) -> int:
    """A number that changes with the modules of a network and with their attributes.

    Weights do not count, nor do training mode and hooks.
    """
    return hash(
        tuple(
            (name, id(module), type(module), *_attributes(module))
            for name, module in model.named_modules()
        )
    )


def _attributes(module: nn.Module) -> tuple[Any, ...]:
    return tuple(
        (name, value if isinstance(value, _PLAIN) else id(value))
        for name, value in vars(module).items()
        if not (name.startswith("_") or name == "training" or isinstance(value, Tensor))
    )
