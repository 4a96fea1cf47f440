"""The header of a model file: everything but the weights, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from lookcloser.core.errors import LookcloserError
from lookcloser.core.preprocessing import Interpolation, Preprocessing
from lookcloser.core.types import Kind, Task
from lookcloser.version import __version__

FORMAT = 1
LARGEST_INPUT = 8192  # pixels a side


@dataclass(frozen=True)
class ModelHeader:
    """What a model file says beside its weights.

    Attributes:
        method: A name in `lookcloser.models.MODELS`.
        arguments: The constructor's keyword arguments.
        task: What the model answers.
        names: Class names by index.
        preprocessing: How images are made ready.
        box_threshold: Where maps are cut into boxes, between their minimum and their maximum.
        scores: Metrics on the validation split at the time of saving.
        evidence_kind: What one piece of evidence of an answer is of.
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
    evidence_kind: Kind = "map"
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
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
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
    known = {item.name for item in fields(ModelHeader)}
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
        header = ModelHeader(**chosen)
        _check_words(header)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged from error
    return header


def check_known(labels: Iterable[str], header: ModelHeader) -> None:
    """Raise a `LookcloserError` for labels of the data that the model does not know."""
    unknown = sorted(set(labels) - set(header.names))
    if unknown:
        raise LookcloserError(
            f"{unknown[0]}: a class of the data that the model does not know"
            + (f" ({len(unknown)} such)" if len(unknown) > 1 else ""),
            fix="Evaluate on data with the classes of the training",
        )


def _check_words(header: ModelHeader) -> None:
    """Raise a ValueError for a word that nothing here knows, or a threshold that cuts nothing."""
    for word, kind in (
        (header.task, Task),
        (header.evidence_kind, Kind),
        (header.preprocessing.interpolation, Interpolation),
    ):
        if word not in get_args(kind):
            raise ValueError(word)
    if not 0 <= float(header.box_threshold) <= 1 or not isinstance(header.method, str):
        raise ValueError(header.box_threshold)


def _pair(values: Any) -> tuple[int, int]:
    height, width = (int(value) for value in values)
    if not (0 < height <= LARGEST_INPUT and 0 < width <= LARGEST_INPUT):
        raise ValueError(values)
    return height, width


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
