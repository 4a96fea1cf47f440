"""The methods, one folder each; `MODELS` is the whole registry."""

from lookcloser.models.backbone import Backbone, check_backbone
from lookcloser.models.base import Criterion, Model, Phase
from lookcloser.models.cam import CAM
from lookcloser.models.captioner import GRU, LSTM, RNN, Captioner
from lookcloser.models.cnnrnn import CNNRNN
from lookcloser.models.feedback import FeedbackNet
from lookcloser.models.model_file import load_model_file, read_header, save_model_file
from lookcloser.models.osme import OSMENet
from lookcloser.models.racnn import RACNN
from lookcloser.models.registry import MODELS, build_model, evidence_kind, model_class
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
    "Phase",
    "Sigmoid",
    "build_model",
    "check_backbone",
    "evidence_kind",
    "load_backbone_weights",
    "load_model_file",
    "model_class",
    "read_header",
    "save_model_file",
    "timm_classifier",
]
