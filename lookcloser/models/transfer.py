"""Beginning a training from a model that was trained here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Model
from lookcloser.models.package import read_header
from lookcloser.models.solved import learnable
from lookcloser.models.weights import check_weights

_INNER = ".net."  # between the place of a backbone in a model and timm's own names
_WHOLE = "all of "


def is_whole(source: str) -> bool:
    """Whether what `begin_from` returned says that the head was taken, too."""
    return source.startswith(_WHOLE)


def inherited(path: Path, method: str, names: Sequence[str]) -> dict[str, Any]:
    """Options of a model without which the head in a file would mean something else.

    Args:
        path: A model file of this package.
        method: Of the model.
        names: Its labels by index.
    """
    header = read_header(path)
    same = _answers_the_same(header, method, names)
    return {"rooted": True} if same and header.arguments.get("rooted") else {}


def _answers_the_same(header: ModelHeader, method: str, names: Sequence[str]) -> bool:
    """By one head: of one that looks twice, the first head was not meant to answer alone."""
    looks_twice = bool(header.arguments.get("places"))
    return header.method == method and header.names == tuple(names) and not looks_twice


def begin_from(model: Model, path: Path, names: Sequence[str], *, smoothing: float = 0.0) -> str:
    """Fill ``model`` in place from a saved one.

    All that fits by name and shape is taken from a model of the same method for the same classes,
    in the same order. From any other only the backbone is, which has to be the same network; a
    model of several backbones gets it in each.

    Args:
        model: With random weights.
        path: A model file of this package.
        names: Class names, or words, by index, that ``model`` is to answer.
        smoothing: Label smoothing of the training, for a head in closed form.

    Returns:
        What was taken, in words, for the provenance.

    Raises:
        LookcloserError: For a file that is no such model, and one of another backbone.
    """
    header = read_header(path)
    state = load_file(path)
    check_weights(state, path, fix="Begin from another run: the training of this one diverged")
    wanted = model.state_dict()
    if _answers_the_same(header, model.name, names):
        fitting = _fitting(state, wanted)
        missing = sorted(wanted.keys() - fitting.keys())
        if not missing:
            model.load_state_dict(_at_temperature(fitting, state, header, smoothing))
            return f"{_WHOLE}{shown(path)}"
    for name, backbone in model.named_modules():
        if isinstance(backbone, Backbone):
            _fill(backbone, name, state, path, str(header.arguments.get("backbone")))
    return f"the backbone of {shown(path)}"


def shown(path: Path) -> str:
    """A model file by its own name and its folder's, the same wherever that lies.

    The rest of the path is nobody else's business: a model is given away with its provenance.
    """
    return Path(*path.parts[-2:]).as_posix()


def _fill(
    backbone: Backbone, place: str, state: Mapping[str, Tensor], path: Path, its: str
) -> None:
    """A backbone from the one in the same place, or else from the first that fits."""
    wanted = backbone.net.state_dict()
    places = {key.partition(_INNER)[0] for key in state if _INNER in key}
    for prefix in sorted(places, key=lambda name: (name != place, name)):
        start = f"{prefix}{_INNER}"
        own = {key[len(start) :]: value for key, value in state.items() if key.startswith(start)}
        fitting = _fitting(own, wanted)
        if fitting.keys() == wanted.keys():
            backbone.net.load_state_dict(fitting)
            return
    raise LookcloserError(
        f"{path}: its backbone {its} is not {backbone.name} with the same options",
        fix=f"Train with --backbone {its}, as it was trained, or with other --weights",
    )


def _at_temperature(
    state: dict[str, Tensor], solved: Mapping[str, Tensor], header: ModelHeader, smoothing: float
) -> dict[str, Tensor]:
    """A solved head with its temperature in it, without which the first losses would be huge."""
    if not header.arguments.get("kept"):
        return state
    weight, bias = state["head.weight"], state["head.bias"]
    logits = solved["solution.features"] @ weight.T + bias
    temperature = learnable(logits, header.calibration.temperature, smoothing)
    return {**state, "head.weight": weight / temperature, "head.bias": bias / temperature}


def _fitting(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: value
        for key, value in state.items()
        if key in wanted and wanted[key].shape == value.shape
    }
