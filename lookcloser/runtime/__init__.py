"""Answers from arrays: preprocessing, scores, evidence, drawing. NumPy and Pillow only."""

from lookcloser.runtime.answerer import Answerer
from lookcloser.runtime.answering import Promise, label_scores, predictions
from lookcloser.runtime.inputs import Loaded, list_sources, load_batches
from lookcloser.runtime.outputs import ArrayOutput, Engine
from lookcloser.runtime.overlays import overlay
from lookcloser.runtime.regions import heatmaps_of, map_regions
from lookcloser.runtime.stream import answer_batch, stream

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
    "load_batches",
    "map_regions",
    "overlay",
    "predictions",
    "stream",
]
