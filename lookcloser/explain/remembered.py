"""What was found out about a network, for as long as the network is built as it was."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import SimpleNamespace
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from lookcloser.core.hooks import Watcher

T = TypeVar("T")

_PLAIN = (bool, int, float, str, type(None))
_DEEPEST = 3  # settings within settings that are compared
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
# Attributes of every module that do not change what it puts out.
_MACHINERY = {"training", "_modules"} | set(vars(nn.Module())) - {
    *_HOOKS,
    "_parameters",
    "_buffers",
}


class Remembered(Generic[T]):
    """A memory by network and key that forgets a network as soon as anything of it is otherwise.

    Every look-up compares the network with the one of before: its modules with their types,
    attributes and hooks, and its weights by their places in memory and how often they were
    changed. A replaced head, another kind of pooling or another gate is so noticed.
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
    """A number that changes with the modules of a network, their attributes, hooks and weights.

    Training mode does not count. A weight that is changed through ``.data`` is not seen.
    """
    return hash(
        tuple(
            (
                name,
                id(module),
                type(module),
                id(getattr(type(module), "forward", None)),
                *_attributes(module),
            )
            for name, module in model.named_modules()
        )
    )


def _attributes(module: nn.Module) -> list[Hashable]:
    """Names and values by turns; every look-up asks for them, so they are found in one loop."""
    marks: list[Hashable] = []
    for name, value in vars(module).items():
        if name not in _MACHINERY:
            marks += (name, _hooks(value) if name in _HOOKS else _mark(value, _DEEPEST))
    return marks


def _hooks(hooks: Mapping[int, object]) -> tuple[int, ...]:
    """Those of the user; ours come and go."""
    return tuple(id(hook) for hook in hooks.values() if not isinstance(hook, Watcher))


def _mark(value: object, depth: int) -> Hashable:
    """What changes with a value: itself, its contents, or which object it is."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Tensor):
        return id(value), _version(value)
    if depth and isinstance(value, tuple | list):
        return tuple([_mark(one, depth - 1) for one in value])
    if depth and isinstance(value, dict):
        return tuple([(key, _mark(one, depth - 1)) for key, one in value.items()])
    if depth and isinstance(value, Mapping | SimpleNamespace):
        return _mark(dict(value if isinstance(value, Mapping) else vars(value)), depth)
    return value if isinstance(value, _PLAIN) else id(value)


def _version(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor lies and how often it was changed; tensors of inference mode do not count."""
    try:
        return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
    except RuntimeError:  # of a kind that lies nowhere
        return 0, 0
