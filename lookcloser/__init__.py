"""Train image recognizers from image-level labels alone, and see where they looked.

Names are imported on first use, so that ``import lookcloser`` is instant and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookcloser.first_use import on_first_use
from lookcloser.version import __version__

if TYPE_CHECKING:
    from lookcloser.core import Label, LookcloserError, Prediction, Region
    from lookcloser.recognizer import Recognizer, add, load, train
    from lookcloser.runtime import overlay

_HOME = {
    "add": "recognizer",
    "train": "recognizer",
    "load": "recognizer",
    "overlay": "runtime",
    "Recognizer": "recognizer",
    "Prediction": "core",
    "Region": "core",
    "Label": "core",
    "LookcloserError": "core",
}
_FOLDERS = (
    "data",
    "decoding",
    "explain",
    "layers",
    "losses",
    "metrics",
    "models",
    "runtime",
    "scratch",
)

__all__ = [
    "Label",
    "LookcloserError",
    "Prediction",
    "Recognizer",
    "Region",
    "__version__",
    "add",
    "load",
    "overlay",
    "train",
]


_find = on_first_use(__name__, _HOME)


def __getattr__(name: str) -> Any:
    return import_module(f"{__name__}.{name}") if name in _FOLDERS else _find(name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_FOLDERS])
