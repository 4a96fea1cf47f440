"""The methods, one folder each; `MODELS` is the whole registry."""

from lookcloser.models.backbone import Backbone, check_backbone
from lookcloser.models.base import Criterion, Model
from lookcloser.models.cam import CAM
from lookcloser.models.package import (
    Package,
    load_package,
    read_header,
    save_package,
)
from lookcloser.models.registry import MODELS, build_model, model_class
from lookcloser.models.weights import load_backbone_weights

__all__ = [
    "CAM",
    "MODELS",
    "Backbone",
    "Criterion",
    "Model",
    "Package",
    "build_model",
    "check_backbone",
    "load_backbone_weights",
    "load_package",
    "model_class",
    "read_header",
    "save_package",
]
