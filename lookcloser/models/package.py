"""A trained model in one .safetensors file: weights, and in its header all that loading needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lookcloser.core.atomic import replacing
from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Task
from lookcloser.data.transforms import Preprocessing
from lookcloser.models.base import Model
from lookcloser.models.registry import build_model
from lookcloser.uncertainty import Calibration
from lookcloser.version import __version__

FORMAT = 1
KEY = "lookcloser"


@dataclass(frozen=True)
class Package:
    """The header of a saved model.

    Attributes:
        method: A name in `MODELS`.
        arguments: The constructor's keyword arguments.
        task: What the model answers.
        names: Class names by index.
        preprocessing: How images are made ready.
        box_threshold: Where maps are cut into boxes, between their minimum and their maximum.
        calibration: Temperature, quantiles and thresholds, from images that did not train it.
        scores: Metrics on the validation split at the time of saving.
        provenance: Where it comes from: data, seed, command, versions.
        version: The lookcloser that wrote it.
        format: The layout of this header.
    """

    method: str
    arguments: Mapping[str, Any]
    task: Task
    names: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    box_threshold: float = 0.2
    calibration: Calibration = field(default_factory=Calibration)
    scores: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    format: int = FORMAT


def save_package(path: str | Path, state: Mapping[str, Tensor], package: Package) -> Path:
    """Write a model's state dict and its header to ``path`` atomically; returns the path.

    Raises:
        LookcloserError: When it cannot be written; a file that was there before is kept.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    header = {KEY: json.dumps(asdict(package), ensure_ascii=False)}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=header)
        except SafetensorError as error:  # how the writer reports what the system refused
            raise OSError(str(error)) from error
    return path


def read_header(path: str | Path) -> Package:
    """The header of a saved model, without its weights.

    Raises:
        LookcloserError: For a missing, corrupt or foreign file, and for one of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise LookcloserError(f"{path}: no such file", fix="Give a run folder or its model file")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError) as error:
        raise LookcloserError(
            f"{path}: not a readable .safetensors file ({error})",
            fix="It is damaged or of another kind; train again or take a copy",
        ) from error
    if header is None:
        raise LookcloserError(
            f"{path}: a .safetensors file that lookcloser did not write",
            fix="To start a training from these weights use `lookcloser train --weights FILE`",
        )
    return _parse(path, header)


def load_package(path: str | Path) -> tuple[Model, Package]:
    """The model (in evaluation mode, on the CPU) and its header.

    Raises:
        LookcloserError: As `read_header`; also where the weights do not fit the model.
    """
    package = read_header(path)
    model = build_model(package.method, package.arguments)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise LookcloserError(
            f"{path}: its weights do not fit a {package.method} model with the arguments in its "
            f"header ({str(error).splitlines()[-1].strip()})",
            fix="The file was changed after saving; take the original",
        ) from error
    return model.eval(), package


def _parse(path: Path, header: str) -> Package:
    damaged = LookcloserError(
        f"{path}: its header is damaged", fix="Take the original file or train again"
    )
    try:
        values = json.loads(header)
    except json.JSONDecodeError as error:
        raise damaged from error
    if not isinstance(values, dict):
        raise damaged
    written = values.get("format", 0)
    if not isinstance(written, int) or written > FORMAT:
        raise LookcloserError(
            f"{path}: written by lookcloser {values.get('version', '?')} in format {written}",
            allowed=f"This is lookcloser {__version__}, which reads formats up to {FORMAT}",
            fix="Upgrade: `pip install --upgrade lookcloser`",
        )
    known = {item.name for item in fields(Package)}
    try:
        chosen = {key: value for key, value in values.items() if key in known}
        preprocessing = values["preprocessing"]
        chosen["names"] = tuple(str(name) for name in values["names"])
        chosen["preprocessing"] = Preprocessing(
            size=_pair(preprocessing["size"]),
            mean=_triple(preprocessing["mean"]),
            std=_triple(preprocessing["std"]),
            interpolation=str(preprocessing["interpolation"]),
        )
        if "calibration" in chosen:
            chosen["calibration"] = Calibration.read(chosen["calibration"])
        return Package(**chosen)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged from error


def _pair(values: Any) -> tuple[int, int]:
    height, width = (int(value) for value in values)
    if not (0 < height <= 8192 and 0 < width <= 8192):
        raise ValueError(values)
    return height, width


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
