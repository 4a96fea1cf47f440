"""Answers of a split beside the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lookcloser.core.types import Prediction
from lookcloser.data import Sample


def placed(prediction: Prediction, sample: Sample) -> Prediction:
    """The prediction with its image: the path of a file, else the image itself."""
    if isinstance(sample.source, Path):
        return replace(prediction, path=sample.source)
    return replace(prediction, image=sample.source)
