"""The methods, one folder each; `METHODS` says what they are.

Names are imported on first use: what methods say about themselves is known without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookcloser.first_use import on_first_use
from lookcloser.models.registry import (
    METHODS,
    build_model,
    evidence_kind,
    method_named,
    model_class,
)

if TYPE_CHECKING:
    from lookcloser.models.backbone import Backbone
    from lookcloser.models.base import Criterion, Model, Phase
    from lookcloser.models.cam.model import CAM
    from lookcloser.models.captioner.model import GRU, LSTM, RNN, Captioner
    from lookcloser.models.cnnrnn.model import CNNRNN
    from lookcloser.models.feedback.model import FeedbackNet
    from lookcloser.models.making import check_backbone
    from lookcloser.models.osme.model import OSMENet
    from lookcloser.models.package import load_model_file, read_header, save_model_file
    from lookcloser.models.racnn.model import RACNN
    from lookcloser.models.sigmoid.model import Sigmoid
    from lookcloser.models.weights import load_backbone_weights, timm_classifier

_HOME = {
    "Backbone": "backbone",
    "check_backbone": "making",
    "Criterion": "base",
    "Model": "base",
    "Phase": "base",
    "Captioner": "captioner.model",
    "load_model_file": "package",
    "read_header": "package",
    "save_model_file": "package",
    "load_backbone_weights": "weights",
    "timm_classifier": "weights",
}

__all__ = [
    "CAM",
    "CNNRNN",
    "GRU",
    "LSTM",
    "METHODS",
    "RACNN",
    "RNN",
    "Backbone",
    "Captioner",
    "Criterion",
    "FeedbackNet",
    "Model",
    "OSMENet",
    "Phase",
    "Sigmoid",
    "build_model",
    "check_backbone",
    "evidence_kind",
    "load_backbone_weights",
    "load_model_file",
    "method_named",
    "model_class",
    "read_header",
    "save_model_file",
    "timm_classifier",
]


_find = on_first_use(__name__, _HOME)


def __getattr__(name: str) -> Any:
    for method in METHODS.values():
        if method.model.endswith(f":{name}"):
            return method.load()
    return _find(name)
