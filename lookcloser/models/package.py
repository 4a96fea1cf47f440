"""A trained model in one .safetensors file: weights, and in its header all that loading needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lookcloser.core.atomic import replacing
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.types import Task
from lookcloser.data.transforms import Preprocessing
from lookcloser.models.base import Model
from lookcloser.models.building import Shapes, build_as
from lookcloser.version import __version__

FORMAT = 1
KEY = "lookcloser"
MAX_SIDE = 4096  # pixels of the input; a header that asks for more would only take all memory
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


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


def is_package(path: str | Path) -> bool:
    """Whether a file is a model that lookcloser saved, of any version."""
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


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
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        model = _build(Path(path), package, shapes)
        tensors = {name: file.get_tensor(name) for name in names}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _unfitting(path, package, str(error).splitlines()[-1].strip()) from error
    if any(bool(torch.isnan(tensor).any()) for tensor in tensors.values()):
        raise LookcloserError(
            f"{path}: its weights are not numbers (NaN), so it has no answer to anything",
            fix="Its training diverged; train again with a lower --lr",
        )
    return model.eval(), package


def _build(path: Path, package: Package, shapes: Shapes) -> Model:
    try:
        return build_as(package.method, package.arguments, shapes)
    except MemoryError:
        raise
    except UsageError:  # an unknown method or backbone, with near names
        raise
    except LookcloserError as error:
        raise _unfitting(path, package, error.what) from error
    except Exception as error:  # whatever a constructor makes of what anybody may have written
        raise _unfitting(path, package, f"{type(error).__name__}: {error}") from error


def _unfitting(path: str | Path, package: Package, why: str) -> LookcloserError:
    return LookcloserError(
        f"{path}: its weights do not fit a {package.method} model with the arguments in its "
        f"header ({' '.join(why.split())[:300]})",
        fix="The file was changed after saving; take the original",
    )


def _parse(path: Path, header: str) -> Package:
    damaged = LookcloserError(
        f"{path}: its header is damaged", fix="Take the original file or train again"
    )
    try:
        values = json.loads(header)
    except (ValueError, RecursionError) as error:
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
    try:
        return _package(values)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged from error


def _package(values: Mapping[str, Any]) -> Package:
    """A header from what JSON has of it, every value of its kind; other keys are left out.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: If anything is missing or of another kind.
    """
    names, preprocessing = values["names"], values["preprocessing"]
    package = Package(
        method=_text(values["method"]),
        arguments=_mapping(values["arguments"]),
        task=_one_of(values["task"], get_args(Task)),
        names=tuple(_text(name) for name in names) if isinstance(names, list) else _wrong(names),
        preprocessing=Preprocessing(
            size=_pair(preprocessing["size"]),
            mean=_triple(preprocessing["mean"]),
            std=_triple(preprocessing["std"]),
            interpolation=_one_of(preprocessing["interpolation"], INTERPOLATIONS),
        ),
        box_threshold=_number(values.get("box_threshold", Package.box_threshold)),
        scores={k: _number(v) for k, v in _mapping(values.get("scores", {})).items()},
        provenance=_mapping(values.get("provenance", {})),
        version=_text(values.get("version", "")),
        format=values["format"],
    )
    if not 0 <= package.box_threshold <= 1 or min(package.preprocessing.std) <= 0:
        raise ValueError(package.box_threshold)
    if len(package.names) != package.arguments.get("num_classes", len(package.names)):
        raise ValueError(len(package.names))
    return package


def _wrong(value: Any) -> NoReturn:
    raise TypeError(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _wrong(value)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else _wrong(value)


def _one_of(value: Any, choices: Sequence[Any]) -> Any:
    return value if isinstance(value, str) and value in choices else _wrong(value)


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else _wrong(value)


def _pair(values: Any) -> tuple[int, int]:
    height, width = values
    for side in (height, width):
        if not isinstance(side, int) or not 0 < side <= MAX_SIDE:
            raise ValueError(values)
    return height, width


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (_number(value) for value in values)
    return red, green, blue
