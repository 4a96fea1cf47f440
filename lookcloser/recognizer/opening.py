"""Runs, model files and stock classifiers, opened with torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lookcloser.core.errors import UsageError
from lookcloser.core.header import with_box_rule
from lookcloser.core.storage.files import refuse_other
from lookcloser.hub import fetched
from lookcloser.inference.devices import usable_device
from lookcloser.inference.stock import stock_classifier
from lookcloser.models import load_model_file
from lookcloser.recognizer.places import given_place, no_model
from lookcloser.recognizer.recognizer import STOCK, Recognizer
from lookcloser.runtime.onnx_file import is_onnx
from lookcloser.training.files import MODEL_FILE


def load_run(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    weights: str = "pretrained",
    model_kwargs: Mapping[str, Any] | None = None,
    box_rule: str | None = None,
) -> Recognizer:
    """See `lookcloser.load`, of which this is all but exported files; for what those cannot do.

    Raises:
        LookcloserError: As `lookcloser.load`; also for an exported file.
    """
    device = usable_device(device)  # before the work
    if str(path).startswith(STOCK):
        net, header = stock_classifier(
            str(path).removeprefix(STOCK), weights=weights, model_kwargs=model_kwargs
        )
        return Recognizer(net, with_box_rule(header, box_rule), device=device)
    refuse_other(path)
    for option, value in (("weights", weights), ("model_kwargs", model_kwargs)):
        if value not in ("pretrained", None, {}):
            raise UsageError(
                f"{{}} {value}: only for timm:NAME, and {path} has its own weights",
                fix="Leave it out",
                option=option,
            )
    path = fetched(path)
    if is_onnx(path):
        raise UsageError(
            f"{path}: an exported file, which can only answer and annotate",
            fix="Give the run that it was exported from",
        )
    path = given_place(path)
    folder = path if path.is_dir() else None
    file = path / MODEL_FILE if folder else path
    if folder and not file.is_file():
        raise no_model(path)
    model, header = load_model_file(file)
    return Recognizer(model, with_box_rule(header, box_rule), device=device, folder=folder)
