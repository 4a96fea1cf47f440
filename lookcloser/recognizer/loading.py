"""Whatever answers, by its path: a run, a model file, a stock classifier, an exported file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookcloser.core.errors import UsageError
from lookcloser.core.storage.files import refuse_url
from lookcloser.hub import fetched
from lookcloser.runtime.onnx import OnnxRecognizer
from lookcloser.runtime.onnx import load as load_onnx
from lookcloser.runtime.onnx_file import is_onnx

if TYPE_CHECKING:
    import torch

    from lookcloser.recognizer.recognizer import Recognizer


def load(
    path: str | Path,
    *,
    device: str | torch.device | None = None,
    weights: str = "pretrained",
    model_kwargs: Mapping[str, Any] | None = None,
    box_rule: str | None = None,
) -> Recognizer | OnnxRecognizer:
    """Load a run folder, a .safetensors or exported .onnx file, a model of the hub or of timm.

    Args:
        path: A run, a model file, an exported file (which answers without torch, on the CPU),
            "hub:OWNER/NAME" or "hub:OWNER/NAME@REVISION" for a model of the Hugging Face hub
            (fetched once, never run as code), or "timm:NAME" for a classifier of timm.
        device: Where it runs; None takes a GPU where there is one.
        weights: Of a stock classifier: "pretrained", "none", or a .safetensors file with timm's
            keys, classifier included.
        model_kwargs: Of a stock classifier: further arguments of the timm model.
        box_rule: What the threshold of a box is a share of, "range" or "max" (the CAM paper); see
            `lookcloser.metrics.boxes_from_maps`. None takes the rule and the threshold of the
            model; another rule than the model's cuts at a share of 0.2.

    Raises:
        LookcloserError: For a missing, corrupt or foreign file, one of a newer version, a run
            folder in which nothing has been saved yet, and weights that are not to be had; for a
            model that the hub does not have, does not give, or that is too large; for ``weights``
            or ``model_kwargs`` of anything but a stock classifier.
    """
    path = fetched(path)
    if isinstance(path, str):
        refuse_url(path)
    if is_onnx(path):
        if weights != "pretrained" or model_kwargs:
            raise UsageError(
                f"{path}: has its own weights", fix="Leave out the arguments for timm:NAME"
            )
        if device is not None and str(device) != "cpu":
            raise UsageError(f"{device}: not for an exported file", allowed="cpu")
        return load_onnx(path, box_rule=box_rule)
    from lookcloser.recognizer.opening import load_run

    return load_run(
        path, device=device, weights=weights, model_kwargs=model_kwargs, box_rule=box_rule
    )
