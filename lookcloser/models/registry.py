"""Which methods there are: a plain list of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookcloser.core.errors import unknown
from lookcloser.core.types import Kind, Task
from lookcloser.models.base import Model
from lookcloser.models.cam import CAM
from lookcloser.models.captioner import GRU, LSTM, RNN
from lookcloser.models.cnnrnn import CNNRNN
from lookcloser.models.feedback import FeedbackNet
from lookcloser.models.osme import OSMENet
from lookcloser.models.racnn import RACNN
from lookcloser.models.sigmoid import Sigmoid

MODELS: list[type[Model]] = [CAM, RACNN, OSMENet, Sigmoid, CNNRNN, RNN, LSTM, GRU, FeedbackNet]


def model_class(name: str) -> type[Model]:
    """The class of a method by its name.

    Raises:
        LookcloserError: For an unknown name; the message offers near ones or all.
    """
    for model in MODELS:
        if model.name == name:
            return model
    raise unknown(name, "method", [model.name for model in MODELS])


def evidence_kind(method: str, task: Task) -> Kind:
    """What one piece of evidence is of an answer of a method: a class, a step or a word."""
    if task == "captioning":
        return "word"
    return "step" if model_class(method).sequential else "map"


def build_model(method: str, arguments: Mapping[str, Any]) -> Model:
    """A model with random weights: ``method`` from `MODELS`, its constructor's ``arguments``."""
    return model_class(method)(**arguments)
