"""The header of a model file: everything but the weights, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, get_args

from lookcloser.core.calibration import Calibration
from lookcloser.core.choices import BoxKind, BoxRule, Task
from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Kind
from lookcloser.version import __version__

FORMAT = 1
LARGEST_HEADER = 8 * 2**20  # characters; parsed, they may take twenty times as much memory
LARGEST_INPUT = 4096  # pixels a side; a header that asks for more would only take all memory
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says beside its weights.

    Attributes:
        method: A name in `lookcloser.models.METHODS`.
        arguments: ``num_classes`` and the method's options.
        task: What the model answers.
        names: Class names by index.
        parents: Of classes in a hierarchy: class or group -> the group above it.
        preprocessing: How images are made ready.
        box_threshold: Where maps are cut into boxes, a share of what ``box_rule`` says.
        box_rule: "range", from a map's minimum to its maximum, or "max", of its maximum alone.
        calibration: Temperature, quantiles and thresholds, from images that did not train it.
        scores: Metrics on the validation split at the time of saving.
        evidence_kind: What one piece of evidence of an answer is of.
        box_kind: What a box that an answer looked into is: a "scale", each inside the one before
            it, or a "place", each beside the others.
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
    box_rule: BoxRule = "range"
    calibration: Calibration = field(default_factory=Calibration)
    scores: Mapping[str, float] = field(default_factory=dict)
    evidence_kind: Kind = "map"
    box_kind: BoxKind = "scale"
    parents: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    format: int = FORMAT


def header_text(header: ModelHeader) -> str:
    """``header`` as JSON, which `parse_header` reads."""
    return json.dumps(asdict(header), ensure_ascii=False)


def parse_header(path: str | Path, text: str) -> ModelHeader:
    """The header that `header_text` wrote.

    Args:
        path: The file it was found in, for the errors.
        text: JSON.

    Raises:
        LookcloserError: For a damaged header, and one of a newer format.
    """
    damaged = LookcloserError(
        f"{path}: its header is damaged", fix="Take the original file or train again"
    )
    if len(text) > LARGEST_HEADER:
        raise damaged
    try:
        values = json.loads(text)
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
        return _header(values)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged from error


def with_box_rule(header: ModelHeader, rule: str | None) -> ModelHeader:
    """``header`` with boxes cut by another rule, and with none the same.

    A threshold that was chosen for one rule means nothing for the other, so that another rule comes
    with the share that the CAM paper takes.

    Raises:
        UsageError: If the rule is unknown.
    """
    if rule is None or rule == header.box_rule:
        return header
    for known in get_args(BoxRule):
        if known == rule:
            return replace(header, box_rule=known, box_threshold=ModelHeader.box_threshold)
    raise unknown(rule, "box rule", get_args(BoxRule))


def check_known(labels: Iterable[str], header: ModelHeader) -> None:
    """Raise a `LookcloserError` for labels of the data that the model does not know."""
    unknown = sorted(set(labels) - set(header.names))
    if unknown:
        raise LookcloserError(
            f"{unknown[0]}: a class of the data that the model does not know"
            + (f" ({len(unknown)} such)" if len(unknown) > 1 else ""),
            fix="Evaluate on data with the classes of the training",
        )


def _header(values: Mapping[str, Any]) -> ModelHeader:
    """A header from what JSON has of it, every value of its kind; other keys are left out.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: If anything is missing or of another kind.
    """
    preprocessing = values["preprocessing"]
    header = ModelHeader(
        method=_text(values["method"]),
        arguments=_mapping(values["arguments"]),
        task=_one_of(values["task"], get_args(Task)),
        names=tuple(_text(name) for name in _list(values["names"])),
        preprocessing=Preprocessing(
            size=_grid(preprocessing["size"]),
            mean=_triple(preprocessing["mean"]),
            std=_triple(preprocessing["std"]),
            interpolation=_one_of(preprocessing["interpolation"], INTERPOLATIONS),
        ),
        box_threshold=_number(values.get("box_threshold", ModelHeader.box_threshold)),
        box_rule=_one_of(values.get("box_rule", "range"), get_args(BoxRule)),
        calibration=_calibration(values.get("calibration")),
        scores={k: _number(v) for k, v in _mapping(values.get("scores", {})).items()},
        evidence_kind=_one_of(values.get("evidence_kind", "map"), get_args(Kind)),
        box_kind=_one_of(values.get("box_kind", "scale"), get_args(BoxKind)),
        parents={k: _text(v) for k, v in _mapping(values.get("parents", {})).items()},
        provenance=_mapping(values.get("provenance", {})),
        version=_text(values.get("version", "")),
        format=values["format"],
    )
    if not 0 <= header.box_threshold <= 1 or min(header.preprocessing.std) <= 0:
        raise ValueError(header.box_threshold)
    if len(header.names) != header.arguments.get("num_classes", len(header.names)):
        raise ValueError(len(header.names))
    return header


def _calibration(values: Any) -> Calibration:
    return Calibration() if values is None else Calibration.read(_mapping(values))


def _wrong(value: Any) -> NoReturn:
    raise TypeError(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _wrong(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else _wrong(value)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else _wrong(value)


def _one_of(value: Any, choices: Collection[Any]) -> Any:
    return value if isinstance(value, str) and value in choices else _wrong(value)


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else _wrong(value)


def _grid(values: Any) -> Grid:
    rows, columns = values
    for side in (rows, columns):
        if isinstance(side, bool) or not isinstance(side, int) or not 0 < side <= LARGEST_INPUT:
            raise ValueError(values)
    return Grid(rows, columns)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (_number(value) for value in values)
    return red, green, blue
