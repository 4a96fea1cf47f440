"""Train image recognizers from image-level labels alone, and see where they looked.

Names are imported on first use, so that ``import lookcloser`` is instant and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookcloser.version import __version__

if TYPE_CHECKING:
    from lookcloser.core import Label, LookcloserError, Prediction, Region
    from lookcloser.recognizer import Recognizer, add, load, train
    from lookcloser.runtime import overlay

_HOME = {
    "add": "lookcloser.recognizer",
    "train": "lookcloser.recognizer",
    "load": "lookcloser.recognizer",
    "overlay": "lookcloser.runtime",
    "Recognizer": "lookcloser.recognizer",
    "Prediction": "lookcloser.core",
    "Region": "lookcloser.core",
    "Label": "lookcloser.core",
    "LookcloserError": "lookcloser.core",
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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _FOLDERS:
        return import_module(f"lookcloser.{name}")
    raise AttributeError(f"module 'lookcloser' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_FOLDERS])
