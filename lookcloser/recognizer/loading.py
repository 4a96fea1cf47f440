"""From a run, a model file or a name to a `Recognizer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lookcloser.core.errors import LookcloserError
from lookcloser.core.files import missing_path
from lookcloser.inference.devices import usable_device
from lookcloser.inference.stock import stock_classifier
from lookcloser.models import load_model_file
from lookcloser.recognizer.recognizer import STOCK, Recognizer
from lookcloser.training.files import MODEL_FILE


def load(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    weights: str = "pretrained",
    model_kwargs: Mapping[str, Any] | None = None,
) -> Recognizer:
    """Load a run folder, one .safetensors file, or a stock classifier.

    Args:
        path: A run, a model file, or "timm:NAME" for a classifier of timm.
        device: Where it runs; None takes a GPU where there is one.
        weights: Of a stock classifier: "pretrained", "none", or a .safetensors file with timm's
            keys, classifier included.
        model_kwargs: Of a stock classifier: further arguments of the timm model.

    Raises:
        LookcloserError: For a missing, corrupt or foreign file, one of a newer version, a run
            folder in which nothing has been saved yet, and weights that are not to be had.
    """
    device = usable_device(device)  # before the work
    if str(path).startswith(STOCK):
        net, header = stock_classifier(
            str(path).removeprefix(STOCK), weights=weights, model_kwargs=model_kwargs
        )
        return Recognizer(net, header, device=device)
    path = Path(path).expanduser()
    if not path.exists():
        raise missing_path(path, "run or model")
    folder = path if path.is_dir() else None
    file = path / MODEL_FILE if folder else path
    if folder and not file.is_file():
        raise LookcloserError(
            f"{path}: no {MODEL_FILE} in this folder",
            fix=f"Give a run folder; a training that broke off early goes on with "
            f"`lookcloser train --resume {path}`",
        )
    model, header = load_model_file(file)
    return Recognizer(model, header, device=device, folder=folder)
