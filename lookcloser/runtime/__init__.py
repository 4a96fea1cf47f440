"""Answers from arrays: preprocessing, scores, evidence, drawing. NumPy and Pillow only.

What draws, and what runs ONNX files, is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookcloser.first_use import on_first_use
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


__getattr__ = on_first_use(__name__, _HOME)
