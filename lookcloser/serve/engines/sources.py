"""Which file answers for what the user named."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader, parse_header
from lookcloser.core.storage.files import is_there, missing_path, own_path
from lookcloser.core.wording import printable
from lookcloser.runtime.onnx_file import is_onnx, read_onnx

_log = logging.getLogger("lookcloser.serve")

STOCK = "timm:"
ENGINES = ("auto", "onnx", "torch")
_WEIGHTS, _EXPORTED = "model.safetensors", "model.onnx"
_LONGEST = 100  # signs of a name
_MOST_HEADER = 64 * 2**20


@dataclass(frozen=True)
class Source:
    """A model to serve.

    Attributes:
        name: What requests call it.
        path: What is loaded: a run, a model file, an exported file or "timm:NAME".
        file: What is watched for a replacement; None of a stock classifier.
    """

    name: str
    path: str
    file: Path | None

    @property
    def exported(self) -> bool:
        """Whether it runs without torch."""
        return is_onnx(self.path)


def read_sources(words: Sequence[str], engine: str = "auto") -> list[Source]:
    """The models that the words of a command line stand for.

    Args:
        words: Runs, model files, exported files, "timm:NAME"; each may be "NAME=" and one of these.
        engine: "onnx" takes the exported file beside a run, "torch" the run itself, "auto" the
            exported file where there is one of the same training.

    Raises:
        LookcloserError: For a missing file, two models of one name, an unusable name.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine = '{engine}'", allowed=", ".join(ENGINES))
    found = [_source(word, engine) for word in words]
    names = [source.name for source in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name}: two models of one name", fix="Give NAME=RUN for one of them")
    return found


def _source(word: str, engine: str) -> Source:
    name, path = _named(word)
    if path.startswith(STOCK):
        return Source(_checked(name or path.removeprefix(STOCK)), path, None)
    place = own_path(path)
    if not is_there(place):
        raise missing_path(place, "run or model")
    called = _checked(name or (place.resolve().name if place.is_dir() else place.stem))
    if is_onnx(place):
        return Source(called, str(place), place)
    weights = place / _WEIGHTS if place.is_dir() else place
    exported = place / _EXPORTED if place.is_dir() else place.with_suffix(".onnx")
    if engine == "torch" or (engine == "auto" and not _belongs(exported, weights, called)):
        return Source(called, str(place), weights)
    if not exported.exists():
        raise LookcloserError(
            f"{exported}: no exported file", fix=f"Write it: `lookcloser export {place}`"
        )
    return Source(called, str(exported), exported)


def _named(word: str) -> tuple[str | None, str]:
    """The name before "=", if there is one; a path may hold the sign, too."""
    name, sign, path = word.partition("=")
    if not sign or is_there(own_path(word)):
        return None, word
    return name, path


def _checked(name: str) -> str:
    if not name.strip() or len(name) > _LONGEST or printable(name) != name or "/" in name:
        raise UsageError(
            f"'{name}': not the name of a model",
            allowed=f"1 to {_LONGEST} printable signs without '/'",
            fix="Give NAME=RUN",
        )
    return name


def _belongs(exported: Path, weights: Path, name: str) -> bool:
    """Whether an exported file can be used and was made from these weights: their headers agree."""
    if not exported.is_file() or find_spec("onnxruntime") is None:
        return False
    if not weights.exists() or read_onnx(exported).header == _header_of(weights):
        return True
    _log.warning(
        "%s: the exported file is of another training and is not used; export it again", name
    )
    return False


def _header_of(weights: Path) -> ModelHeader | None:
    """The header of a model file, read without torch; None where there is none."""
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            text = json.loads(file.read(min(size, _MOST_HEADER)))["__metadata__"]["lookcloser"]
        return parse_header(weights, text)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
