"""The methods, one folder each; `MODELS` is the whole registry."""

from lookcloser.models.backbone import Backbone, check_backbone
from lookcloser.models.base import Criterion, Model, Phase
from lookcloser.models.cam import CAM
from lookcloser.models.captioner import GRU, LSTM, RNN, Captioner
from lookcloser.models.cnnrnn import CNNRNN
from lookcloser.models.feedback import FeedbackNet
from lookcloser.models.osme import OSMENet
from lookcloser.models.package import (
    Package,
    load_package,
    read_header,
    save_package,
)
from lookcloser.models.racnn import RACNN
from lookcloser.models.registry import MODELS, build_model, model_class
from lookcloser.models.sigmoid import Sigmoid
from lookcloser.models.weights import load_backbone_weights, timm_classifier

__all__ = [
    "CAM",
    "CNNRNN",
    "GRU",
    "LSTM",
    "MODELS",
    "RACNN",
    "RNN",
    "Backbone",
    "Captioner",
    "Criterion",
    "FeedbackNet",
    "Model",
    "OSMENet",
    "Package",
    "Phase",
    "Sigmoid",
    "build_model",
    "check_backbone",
    "load_backbone_weights",
    "load_package",
    "model_class",
    "read_header",
    "save_package",
    "timm_classifier",
]
