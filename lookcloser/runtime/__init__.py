"""Answers from arrays: preprocessing, scores, evidence, drawing. NumPy and Pillow only.

What draws, and what runs ONNX files, is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookcloser.runtime.answerer import Answerer
from lookcloser.runtime.answering import Promise, label_scores, predictions
from lookcloser.runtime.inputs import Loaded, list_sources, load_batches
from lookcloser.runtime.outputs import ArrayOutput, Engine
from lookcloser.runtime.regions import heatmaps_of, map_regions
from lookcloser.runtime.stream import answer_batch, stream

if TYPE_CHECKING:
    from lookcloser.runtime.onnx import load
    from lookcloser.runtime.overlays import overlay

_HOME = {"load": "onnx", "overlay": "overlays"}

__all__ = [
    "Answerer",
    "ArrayOutput",
    "Engine",
    "Loaded",
    "Promise",
    "answer_batch",
    "heatmaps_of",
    "label_scores",
    "list_sources",
    "load",
    "load_batches",
    "map_regions",
    "overlay",
    "predictions",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"lookcloser.runtime.{_HOME[name]}"), name)
    raise AttributeError(f"module 'lookcloser.runtime' has no attribute {name!r}")
