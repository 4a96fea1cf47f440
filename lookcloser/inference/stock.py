"""Any classifier of timm as an engine, with its own classes and no training of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timm.data.config import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.hooks import evaluating
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.explain import VIEWS
from lookcloser.explain.outputs import logits_from
from lookcloser.inference.engine import as_input, weights_digest
from lookcloser.layers.class_head import best_classes
from lookcloser.models import timm_classifier
from lookcloser.runtime import ArrayOutput

METHOD = "timm"
# The first of these that the network has gives the evidence of its answers.
_EVIDENCE = ("cam", "gradcam", "saliency")


@dataclass(frozen=True, eq=False)
class StockEngine:
    """A stock classifier; see `lookcloser.runtime.Engine`.

    Attributes:
        model: The network of timm.
        header: Its classes and preprocessing.
        device: Where it is.
    """

    model: nn.Module
    header: ModelHeader
    device: torch.device

    def answer(self, pixels: NDArray[np.uint8], top: int) -> ArrayOutput:
        """The logits, and maps of the best classes."""
        images = self.images(pixels)
        logits = self._logits(images)
        tokens = best_classes(logits, top)
        return self._output(images, logits, tokens)

    def evidence(self, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]) -> ArrayOutput:
        """The logits, and maps of the given classes."""
        images = self.images(pixels)
        return self._output(images, self._logits(images), torch.from_numpy(tokens))

    def fingerprint(self) -> str:
        """See `lookcloser.runtime.Engine`."""
        return weights_digest(self.model, self.header)

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Pixels as the normalized input of the network, on its device."""
        return as_input(pixels, self.header.preprocessing, self.device)

    def _logits(self, images: Tensor) -> Tensor:
        with torch.inference_mode(), evaluating(self.model):
            logits: Tensor = self.model(images)
        return logits.float()

    def _output(self, images: Tensor, logits: Tensor, tokens: Tensor) -> ArrayOutput:
        asked = tokens.clamp(min=0).to(self.device)
        maps = _first_view(self.model, images, asked)
        return ArrayOutput(
            logits=logits.cpu().numpy(),
            maps=maps.detach().float().cpu().numpy(),
            tokens=tokens.cpu().numpy(),
        )


def _first_view(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    for view in _EVIDENCE[:-1]:
        try:
            found: Tensor = VIEWS[view](model, images, targets)
        except LookcloserError:
            continue
        return found
    last: Tensor = VIEWS[_EVIDENCE[-1]](model, images, targets)
    return last


def stock_classifier(
    name: str,
    *,
    weights: str = "pretrained",
    model_kwargs: Mapping[str, Any] | None = None,
) -> tuple[nn.Module, ModelHeader]:
    """A classifier of timm, and a header with its classes.

    Args:
        name: A timm model name, e.g. "resnet50".
        weights: "pretrained", "none", or a .safetensors file with timm's keys, classifier included.
        model_kwargs: Further arguments of the timm model.

    Raises:
        LookcloserError: For an unknown model and weights that are not to be had.
    """
    if not isinstance(model_kwargs or {}, Mapping):
        raise UsageError(f"model_kwargs = {model_kwargs!r:.60}", allowed="names with values")
    if not isinstance(weights, str | Path):
        raise UsageError(
            f"weights = {weights!r:.60}", allowed="pretrained, none or a .safetensors file"
        )
    given = dict(model_kwargs or {})
    _check_kind(given)
    model = _classifier(name, str(weights), model_kwargs)
    if getattr(model, "num_classes", None) == 0:
        raise LookcloserError(
            f"{name}: has no classifier, so that there is no class to look for",
            fix="Name a model with one, such as vit_small_patch16_224; in Python, "
            "`lookcloser.explain.eigencam` and `attention_rollout` need no class",
        )
    config: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]  # timm has no types here
    size = _pair(given.get("img_size", config["input_size"][1:]))
    preprocessing = Preprocessing(
        size, config["mean"], config["std"], _interpolation(config["interpolation"])
    )
    with torch.inference_mode(), evaluating(model):
        classes = logits_from(model, torch.zeros(1, 3, *size)).shape[-1]
    header = ModelHeader(
        METHOD,
        {"backbone": name},
        "classification",
        _class_names(model, classes),
        preprocessing,
        provenance={"weights": Path(weights).name},
    )
    return model, header


def _check_kind(given: Mapping[str, Any]) -> None:
    """Raise a `UsageError` for arguments of timm that make something else than a classifier."""
    if given.get("in_chans", 3) != 3:
        raise UsageError(
            f"in_chans={given['in_chans']}: images are given in three channels", allowed="3"
        )
    if given.get("features_only"):
        raise UsageError("features_only: gives features, not a classifier", fix="Leave it out")


def _pair(side: Any) -> Grid:
    """One side, or rows and columns."""
    rows, columns = (side, side) if isinstance(side, int) else side
    return Grid(int(rows), int(columns))


def _classifier(name: str, weights: str, options: Mapping[str, Any] | None) -> nn.Module:
    """The network; what is said where it is not to be had is about looking, not about training."""
    try:
        return timm_classifier(name, weights, options)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except LookcloserError as error:
        if weights != "pretrained" or isinstance(error, UsageError):
            raise
        raise LookcloserError(
            error.what,
            fix="Give a trained classifier with `--weights FILE.safetensors` (fetched elsewhere "
            f"with `timm.create_model('{name}', pretrained=True)`); `--weights none` shows an "
            "untrained network",
        ) from error
    except Exception as error:  # whatever a constructor makes of what it was given
        if not options:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"{dict(options)}: not arguments of {name} ({reason:.200})",
            fix="Fix --model-kwargs; the names are those of timm.create_model",
        ) from error


def _class_names(model: nn.Module, classes: int) -> tuple[str, ...]:
    """ImageNet's words where the network has ImageNet's classes, else numbers."""
    subset = infer_imagenet_subset(model)
    if subset is None:
        return tuple(f"class {index}" for index in range(classes))
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(classes))


def _interpolation(name: str) -> str:
    return name if name in {"bilinear", "bicubic", "nearest"} else "bicubic"
