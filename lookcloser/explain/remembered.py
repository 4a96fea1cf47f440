"""What was found out about a network, for as long as the network is built as it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from lookcloser.core.hooks import Watcher, all_modules

T = TypeVar("T")

# Values that never change: equal ones are one.
_PLAIN = (
    *(bool, int, float, complex, str, bytes, range, slice, type(None)),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
_DEEPEST = 3  # settings within settings that are compared

# What a module holds: parameters, buffers, modules, and the hooks that run in a forward pass.
_HOLDING = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")
_held_by = itemgetter(*_HOLDING)
_Held = Sequence[tuple[Mapping[Any, Any], ...]]
# All that every module has: the rest are settings of its own.
_MACHINERY = set(vars(nn.Module()))


class Remembered(Generic[T]):
    """A memory by network and key that forgets a network as soon as anything of it is otherwise.

    Every look-up compares the network with its `Likeness` of before. A replaced head, another kind
    of pooling or another gate is so noticed.
    """

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, tuple[Likeness, dict[Hashable, T]]]
        self._known = WeakKeyDictionary()

    def get(self, model: nn.Module, key: Hashable) -> T | None:
        """What is known for ``key``; None where nothing is, or the network has changed."""
        known = self._known.get(model)
        if known is None or key not in known[1] or not known[0].holds():
            return None
        return known[1][key]

    def put(self, model: nn.Module, key: Hashable, value: T) -> None:
        """Keep ``value`` for the network as it is now."""
        known = self._known.get(model)
        if known is not None and known[0].holds():
            self._known[model] = (known[0], {**known[1], key: value})
        else:
            self._known[model] = (Likeness(model), {key: value})

    def forget(self, model: nn.Module) -> None:
        """Drop everything about one network."""
        self._known.pop(model, None)


class Likeness:
    """A network as it is when this is made: modules, classes, attributes, hooks and weights.

    Weights count by their places in memory and how often they were changed; one that is changed
    through ``.data`` is not seen. Training mode, our own hooks and hooks that do not run in a
    forward pass do not count.

    It is asked at every look into a network, when the network's weights have just swept the caches.
    So it asks for little, and leaves alone what is the very object it was: Python compares lists
    and tuples without touching what is in both. It keeps nothing of the network alive: whatever may
    lead back to it is held by weak reference.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = [one for one in all_modules(model) if not isinstance(one, torch.jit.ScriptModule)]
        classes = {one for module in modules for one in type(module).__mro__}
        classes -= {object, nn.Module}
        # Shared, as few kinds have few places in memory.
        getters: dict[tuple[str, ...], Callable[[dict[str, object]], object]] = {}
        states = list(map(vars, modules))
        held = list(map(_held_by, states))
        self._modules = [ref(module) for module in modules]
        self._kinds = [id(type(module)) for module in modules]
        self._classes = [ref(one) for one in classes]
        self._class_attributes = [_expected(dict(vars(one)), _DEEPEST) for one in classes]
        self._settings = [
            getters.setdefault(names, _getter(names)) for names in map(_settings_of, states)
        ]
        self._sizes = list(map(len, states))
        self._values = [
            tuple(_expected(state[name], _DEEPEST) for name in _settings_of(state))
            for state in states
        ]
        self._shape = _shape(held)
        self._weights = [None if one is None else ref(one) for one in _weights_in(held)]
        self._versions = list(map(_version, _weights_in(held)))
        self._children = [None if one is None else ref(one) for one in _children_in(held)]
        self._hooks = [(number, key, _Same(hook)) for number, key, hook in _hooks_in(held)]

    def holds(self) -> bool:
        """Whether the network is still like this."""
        # Who is gone, or answers a comparison with what is no yes, as an array does, is not alike.
        with suppress(Exception):
            modules = [one() for one in self._modules]
            states = list(map(vars, modules))
            held = list(map(_held_by, states))
            weights = _weights_in(held)
            return (
                self._sizes == list(map(len, states))
                and self._shape == _shape(held)
                and _all_are(self._children, _children_in(held))
                and _all_are(self._weights, weights)
                and self._versions == list(map(_version, weights))
                and self._hooks == _hooks_in(held)
                and self._kinds == list(map(id, map(type, modules)))
                and self._values
                == [get(one) for get, one in zip(self._settings, states, strict=True)]
                and self._class_attributes == [dict(vars(one())) for one in self._classes]
            )
        return False


def _settings_of(state: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in state if name not in _MACHINERY)


def _getter(names: tuple[str, ...]) -> Callable[[dict[str, object]], object]:
    """From a dictionary to a tuple of the values of these names."""
    if len(names) > 1:
        return itemgetter(*names)
    return (lambda state: (state[names[0]],)) if names else (lambda _: ())


def _shape(held: _Held) -> list[tuple[str, ...]]:
    """Names of parameters, buffers and modules of each module."""
    return [(*weights, "", *buffers, "", *children) for weights, buffers, children, *_ in held]


def _weights_in(held: _Held) -> list[Tensor | None]:
    return [tensor for one in held for kind in one[:2] for tensor in kind.values()]


def _children_in(held: _Held) -> list[nn.Module | None]:
    return [child for one in held for child in one[2].values()]


def _hooks_in(held: _Held) -> list[tuple[int, int, object]]:
    """Hooks of the user, by module; ours come and go, also from other threads meanwhile."""
    return [
        (number, key, hook)
        for number, one in enumerate(held)
        for kind in one[3:]
        if kind
        for key, hook in list(kind.items())
        if not isinstance(hook, Watcher)
    ]


def _all_are(before: Sequence[ref[Any] | None], now: Sequence[object]) -> bool:
    """Whether these are the very objects that were referred to."""
    return len(before) == len(now) and all(
        one is (None if old is None else old()) for old, one in zip(before, now, strict=True)
    )


def _expected(value: object, depth: int) -> object:
    """What equals a value as long as it is itself, and its contents are what they are."""
    if isinstance(value, _PLAIN):
        expected: object = value
    elif isinstance(value, Tensor):
        expected = _Unchanged(value)
    elif depth and isinstance(value, list | tuple):
        contents = [_expected(one, depth - 1) for one in value]
        expected = tuple(contents) if isinstance(value, tuple) else contents
    elif depth and isinstance(value, dict):
        expected = {key: _expected(one, depth - 1) for key, one in value.items()}
    elif isinstance(value, set | frozenset) and all(isinstance(one, _PLAIN) for one in value):
        expected = set(value)
    elif depth and _has_fields(value):
        expected = _Fields(value, depth)
    else:
        expected = _Same(value)
    return expected


def _has_fields(value: object) -> bool:
    """Whether an object is a set of settings, which may be changed one by one."""
    named = isinstance(value, SimpleNamespace | Namespace) or is_dataclass(value)
    return isinstance(value, Mapping) or (named and not isinstance(value, type))


def _fields_of(value: object) -> dict[object, object]:
    return dict(value if isinstance(value, Mapping) else getattr(value, "__dict__", {}))


class _Equal(ABC):
    """Something that decides itself what it equals."""

    __array_ufunc__ = None  # an array would compare itself place by place
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self.equals(other)

    @abstractmethod
    def equals(self, other: object) -> bool:
        """Whether ``other`` is what is expected."""


class _Same(_Equal):
    """Equals this very object; what Python can refer to weakly is not taken for its successor."""

    def __init__(self, value: object) -> None:
        self._id = id(value)
        self._alive: ref[object] | None = None
        with suppress(TypeError):  # of a kind without weak references
            self._alive = ref(value)

    def equals(self, other: object) -> bool:
        return id(other) == self._id and (self._alive is None or self._alive() is other)


class _Unchanged(_Equal):
    """Equals a tensor as long as nobody writes into it."""

    def __init__(self, tensor: Tensor) -> None:
        self._alive, self._version = ref(tensor), _version(tensor)

    def equals(self, other: object) -> bool:
        return (
            isinstance(other, Tensor)
            and other is self._alive()
            and _version(other) == self._version
        )


class _Fields(_Equal):
    """Equals an object of this kind with these settings."""

    def __init__(self, value: object, depth: int) -> None:
        self._kind = _Same(type(value))
        self._fields = _expected(_fields_of(value), depth)

    def equals(self, other: object) -> bool:
        return self._kind.equals(type(other)) and _fields_of(other) == self._fields


def _version(tensor: Tensor | None) -> tuple[int, int]:
    """Where a tensor lies and how often it was changed; tensors of inference mode do not count."""
    if tensor is None:
        return 0, 0
    try:
        return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version
    except RuntimeError:  # of a kind that lies nowhere
        return 0, 0
