"""Stock classifiers of timm with random weights, the same wherever they are asked for."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

import lookcloser
from lookcloser.recognizer import Recognizer

CLASSES = 7


def stock(name: str, folder: Path) -> Recognizer:
    """The recognizer of a network by timm's name; its weights are a file in ``folder``."""
    torch.manual_seed(1)
    net = timm.create_model(name, num_classes=CLASSES)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.shape[:1] == (CLASSES,):
                parameter.normal_()
    weights = folder / f"{name}.safetensors"
    save_file(net.state_dict(), weights)
    kwargs = {"num_classes": CLASSES}
    found = lookcloser.load(f"timm:{name}", device="cpu", weights=str(weights), model_kwargs=kwargs)
    assert isinstance(found, Recognizer)
    return found
