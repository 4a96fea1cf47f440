"""The recipe without training: features once, a head solved from them, an ordinary run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lookcloser.closed_form import Head, Memory, fit_discriminant, fit_ridge
from lookcloser.core.choices import Task
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.options import declared
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.models import build_model
from lookcloser.models.backbone import Backbone, in_channels_last
from lookcloser.models.cam.model import CAM
from lookcloser.models.options import BackboneOptions
from lookcloser.models.solved import Solution

METHODS: dict[Task, str] = {"classification": "cam", "multilabel": "sigmoid"}


def rooted(model: CAM, header: ModelHeader) -> tuple[CAM, ModelHeader]:
    """The same backbone under a head that reads rooted features, see `RootedChannels`.

    What follows an activation that is never negative gains by it, and what a norm leaves is hardly
    changed by it, so that it is there for every backbone.
    """
    nothing = {"kept": 0, "rank": 0, "summed": False, "places": 0}
    return rebuilt(model, header, {"rooted": True, **nothing})


def as_cam(
    backbone: Backbone, header: ModelHeader, preprocessing: Preprocessing
) -> tuple[CAM, ModelHeader]:
    """A `CAM` of rooted features around a copy of the backbone of any classifier, and its header.

    Args:
        backbone: Whose weights it has, in its place.
        header: Of that classifier.
        preprocessing: Of the images.
    """
    shared = {name: header.arguments[name] for name in ("num_classes", *declared(BackboneOptions))}
    shared["rooted"] = True
    cam = build_model("cam", shared)
    assert isinstance(cam, CAM)  # as named
    cam.backbone.load_state_dict(backbone.state_dict())
    weight = next(backbone.parameters())
    cam = in_channels_last(cam).eval().to(weight.device)
    return cam, replace(header, method="cam", arguments=shared, preprocessing=preprocessing)


def solve(memory: Memory, task: Task, *, balanced: bool = False) -> Head:
    """The discriminant for classes, one ridge regression for each tag.

    Raises:
        LookcloserError: For features from which nothing can be solved.
    """
    try:
        if not np.isfinite(memory.features).all():
            raise ValueError("the network answers with NaN or infinity")
        if task == "multilabel":
            return fit_ridge(memory)
        return fit_discriminant(memory, balanced=balanced)
    except ValueError as error:
        raise LookcloserError(
            f"no head can be solved from these images: {error}",
            fix="Check the images with `lookcloser data check DATA`, and the backbone's weights",
        ) from error


def with_head(
    model: CAM, header: ModelHeader, memory: Memory, head: Head, names: tuple[str, ...]
) -> tuple[CAM, ModelHeader]:
    """A model with this head, and its header.

    Args:
        model: Whose backbone it takes over.
        header: Of the model.
        memory: What the head was solved from.
        head: The solution.
        names: Label names by index.
    """
    arguments = {
        "num_classes": len(names),
        "rooted": True,
        **Solution.sizes(memory, head.metric),
    }
    calibration, scale = head.calibration, 1.0
    if header.task == "multilabel":  # whose answer compares scores with a threshold in the network
        scale = 1 / calibration.temperature
        calibration = replace(calibration, temperature=1.0)
    new, header = rebuilt(model, header, arguments)
    assert new.solution is not None  # as its sizes say
    with torch.no_grad():
        new.head.weight.copy_(torch.from_numpy(head.weight * scale))
        new.head.bias.copy_(torch.from_numpy(head.bias * scale))
        new.solution.fill(memory, head.metric)
    kind = "acc" if header.task == "classification" else "decisions"
    known = head.calibration.images > 0
    scores = {f"left_out_{kind}": head.accuracy, "left_out_loss": head.loss} if known else {}
    provenance = {
        **header.provenance,
        "recipe": "closed-form",
        "images": memory.count,
        "shrinkage": head.shrinkage,
    }
    return new, replace(
        header,
        names=names,
        scores=scores,
        calibration=calibration,
        provenance=provenance,
    )


def rebuilt(model: CAM, header: ModelHeader, changes: Mapping[str, Any]) -> tuple[CAM, ModelHeader]:
    """A model with other arguments around the same backbone, in evaluation mode."""
    arguments = {**header.arguments, **changes}
    new = build_model(header.method, arguments)
    assert isinstance(new, CAM)  # so are all methods in METHODS
    new.backbone.load_state_dict(model.backbone.state_dict())
    device = next(model.parameters()).device
    return new.eval().to(device), replace(header, arguments=arguments)
