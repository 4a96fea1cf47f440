"""Looking inside a user's network and leaving it as it was found.

Hooks are removed on every path and fire for the calling thread alone; the training flag of every
module is put back, also when several threads look into one model at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch import nn

_lock = threading.Lock()
# model -> (how many threads are inside `evaluating`, the modules that were training before)
_inside: WeakKeyDictionary[nn.Module, tuple[int, list[nn.Module]]] = WeakKeyDictionary()


def all_modules(model: nn.Module) -> list[nn.Module]:
    """A network and the modules in it, each once, whatever it says of their names.

    It is asked at every look into a network, and takes a third of the time of ``model.modules()``.
    """
    found = {id(model): model}
    waiting = [model]
    while waiting:
        for child in waiting.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                waiting.append(child)
    return list(found.values())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``model`` in evaluation mode inside the block; afterwards each module's mode of before.

    Nested and concurrent blocks on one model share one record: the first sets evaluation mode, the
    last restores, so that no thread runs in training mode because another has finished.
    """
    with _lock:
        depth, training = _inside.get(model, (0, []))
        if depth == 0:
            # A frozen script has no mode, and an exported graph refuses to change its own.
            training = [
                module for module in all_modules(model) if getattr(module, "training", False)
            ]
            if training:
                model.eval()
        _inside[model] = (depth + 1, training)
    try:
        yield
    finally:
        with _lock:
            depth, training = _inside.pop(model)
            if depth > 1:
                _inside[model] = (depth - 1, training)
            else:
                for module in training:
                    module.training = True


class Watcher:
    """A forward hook of `watching`."""

    def __init__(self, name: str, see: Callable[[str, tuple[Any, ...], Any], Any]) -> None:
        self.name, self.see, self.thread = name, see, threading.get_ident()

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """What a layer shall put out instead, None to keep its output."""
        if threading.get_ident() != self.thread:
            return None
        return self.see(self.name, inputs, output)


@contextmanager
def watching(
    modules: Mapping[str, nn.Module], see: Callable[[str, tuple[Any, ...], Any], Any]
) -> Iterator[None]:
    """Call ``see(name, inputs, output)`` after each forward of the named modules in this thread.

    What ``see`` returns replaces the module's output, None keeps it. The hooks are gone after the
    block, whatever happened inside.
    """
    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(Watcher(name, see)))
        yield
    finally:
        for handle in handles:
            handle.remove()
