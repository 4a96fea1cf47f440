"""Views of a classifier of timm that lookcloser did not train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.data.config import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import nn

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.images import ImageSource, load_image
from lookcloser.core.types import Label, Region
from lookcloser.data.transforms import Preprocessing, evaluation_transform
from lookcloser.models import Package, timm_classifier
from lookcloser.recognizer.evidence import map_regions
from lookcloser.recognizer.views import look


def explain_timm(
    name: str,
    image: ImageSource,
    views: Sequence[str] | None = None,
    *,
    weights: str = "pretrained",
    model_kwargs: Mapping[str, Any] | None = None,
    target: str | None = None,
) -> dict[str, Region]:
    """Look at one image through any classifier of timm; see `Recognizer.explain`.

    Args:
        name: A timm model name, e.g. "resnet50".
        image: One file, array, PIL image, or the bytes of a file.
        views: As in `Recognizer.explain`.
        weights: "pretrained", "none", or a .safetensors file with timm's keys, classifier included.
        model_kwargs: Further arguments of the timm model.
        target: The class by its number or its name; None takes the best one.

    Raises:
        LookcloserError: For an unknown model, view or class, weights that are not to be had, and an
            image that cannot be read.
    """
    given = dict(model_kwargs or {})
    _check_kind(given)
    model = _classifier(name, weights, model_kwargs)
    if getattr(model, "num_classes", None) == 0:
        raise LookcloserError(
            f"{name}: has no classifier, so that there is no class to look for",
            fix="Name a model with one, such as vit_small_patch16_224; in Python, "
            "`lookcloser.explain.eigencam` and `attention_rollout` ask for no class",
        )
    config: dict[str, Any] = resolve_model_data_config(model)  # type: ignore[no-untyped-call]  # timm has no types here
    size = _pair(given.get("img_size", config["input_size"][1:]))
    preprocessing = Preprocessing(
        size, config["mean"], config["std"], _interpolation(config["interpolation"])
    )
    picture = load_image(image)
    batch = evaluation_transform(preprocessing)(picture)[None]
    with torch.inference_mode():
        scores = model(batch)[0].softmax(dim=0)
    names = class_names(model, len(scores))
    index = int(scores.argmax()) if target is None else _index(target, names)
    label = Label(names[index], float(scores[index]), index)
    threshold = Package("", {}, "classification", ()).box_threshold
    return {
        view: map_regions(maps, [label], picture.size, size, threshold)[0]
        for view, maps in look(model, batch, index, views).items()
    }


def _check_kind(given: Mapping[str, Any]) -> None:
    """Raise a `UsageError` for arguments of timm that make something else than a classifier."""
    if given.get("in_chans", 3) != 3:
        raise UsageError(
            f"in_chans={given['in_chans']}: images are given in three channels", allowed="3"
        )
    if given.get("features_only"):
        raise UsageError("features_only: gives features, not a classifier", fix="Leave it out")


def _pair(side: Any) -> tuple[int, int]:
    """One side or (height, width) as (height, width)."""
    height, width = (side, side) if isinstance(side, int) else side
    return int(height), int(width)


def _classifier(name: str, weights: str, options: Mapping[str, Any] | None) -> nn.Module:
    """The network; what is said where it is not to be had is about looking, not about training."""
    try:
        return timm_classifier(name, weights, options)
    except TypeError as error:
        raise UsageError(
            f"{dict(options or {})}: not arguments of {name} ({error})",
            fix="Mend --model-kwargs; the names are those of timm.create_model",
        ) from error
    except LookcloserError as error:
        if weights != "pretrained" or isinstance(error, UsageError):
            raise
        raise LookcloserError(
            error.what,
            fix="Give a trained classifier with `--weights FILE.safetensors` (fetched elsewhere "
            f"with `timm.create_model('{name}', pretrained=True)`); `--weights none` shows an "
            "untrained network",
        ) from error


def class_names(model: nn.Module, classes: int) -> tuple[str, ...]:
    """ImageNet's words where the network has ImageNet's classes, else numbers."""
    subset = infer_imagenet_subset(model)
    if subset is None:
        return tuple(f"class {index}" for index in range(classes))
    info = ImageNetInfo(subset)
    return tuple(info.index_to_description(index) for index in range(classes))


def _index(target: str, names: Sequence[str]) -> int:
    if target.isdigit() and int(target) < len(names):
        return int(target)
    for index, name in enumerate(names):
        if target == name or target in name.split(", "):
            return index
    raise UsageError(
        f"{target!r}: not a class of this network",
        allowed=f"A number from 0 to {len(names) - 1}, or a name such as {names[0]!r}",
    )


def _interpolation(name: str) -> str:
    return name if name in {"bilinear", "bicubic", "nearest"} else "bicubic"
