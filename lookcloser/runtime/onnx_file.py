"""ONNX files as they come from anybody: what is in them, found without running or allocating it.

A file is a protobuf message, a row of fields with their lengths. It is walked through field by
field; the network itself is passed over.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import LARGEST_HEADER, ModelHeader, parse_header
from lookcloser.core.storage.files import is_there, missing_path, own_path
from lookcloser.decoding import Search

KEY = "lookcloser"
PARTS_KEY = "lookcloser parts"
GRAPH_KEY = "lookcloser graph "
GRAPHS = ("start", "step", "evidence")

LARGEST_FILE = 2**31 - 1  # bytes; the format's own limit
MOST_FIELDS = 100_000

# Fields of ModelProto, and of the StringStringEntryProto of its metadata.
_GRAPH, _METADATA, _ENTRY_KEY, _ENTRY_VALUE = 7, 14, 1, 2
# How a tensor names a file of its own beside this one: the key "location" with its length, which
# may be written in more bytes than it needs.
_ELSEWHERE = re.compile(rb"(?:\x08|\x88\x80*\x00)location")
# Of a search; what is beyond would only take all time and memory.
_LONGEST, _WIDEST, _MOST_NODES = 10_000, 1_000, 10**6


@dataclass(frozen=True)
class Parts:
    """What a file says of how an answer is made; see `lookcloser.models.file_form`.

    Attributes:
        threshold: Of answers that are the labels above it; None of others.
        search: Of sequences; None of other answers.
        memory: How many outputs of the graph "start" are memory.
        longest: The width of the tokens that the graph "evidence" takes.
    """

    threshold: float | None = None
    search: Search | None = None
    memory: int = 0
    longest: int = 0


@dataclass(frozen=True)
class OnnxFile:
    """An exported file, read and checked.

    Attributes:
        path: Where it is.
        model: Its bytes, for the engine.
        header: What belongs to the network.
        parts: How an answer is made.
        graphs: The graphs of a decoder by name; none for most methods.
    """

    path: Path
    model: bytes
    header: ModelHeader
    parts: Parts
    graphs: Mapping[str, bytes]


def is_onnx(path: str | Path) -> bool:
    """Whether a path is meant as an exported file: by its name."""
    return str(path).lower().endswith(".onnx")


def read_onnx(path: str | Path) -> OnnxFile:
    """The file at ``path``, checked before anything of it is run.

    Raises:
        LookcloserError: For a missing, truncated, foreign or oversized file, for one that reads
            other files, and for a header that is damaged or of a newer format.
    """
    path = own_path(path)
    if not is_there(path):
        raise missing_path(path, "model file")
    if not path.is_file():
        raise LookcloserError(f"{path}: not a file", fix="Give an exported .onnx file")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise LookcloserError(
            f"{path}: a file of {size:,} bytes",
            allowed=f"At most {LARGEST_FILE:,}, as of any .onnx",
        )
    data = path.read_bytes()
    metadata = _metadata(path, data)
    if KEY not in metadata:
        raise LookcloserError(
            f"{path}: an ONNX file that lookcloser did not write",
            fix="Write one with `lookcloser export RUN --out FILE.onnx`",
        )
    header = parse_header(path, metadata[KEY])
    parts = _parts(path, metadata.get(PARTS_KEY, "{}"))
    names = GRAPHS if parts.search is not None else ()
    graphs = {name: _graph(path, metadata.get(GRAPH_KEY + name)) for name in names}
    if any(_ELSEWHERE.search(part) for part in (data, *graphs.values())):
        raise LookcloserError(
            f"{path}: its weights lie in another file",
            fix="Export the model again: lookcloser writes one file that holds everything",
        )
    return OnnxFile(path, data, header, parts, graphs)


def network_alone(file: OnnxFile) -> bytes:
    """The network of ``file`` as an ONNX file without metadata: for the public.

    Its decoder and its header, which says where it was trained, are left out.
    """
    spans = _spans(file.path, memoryview(file.model))
    return b"".join(every for field, _, every in spans if field != _METADATA)


def parts_text(parts: Parts) -> str:
    """``parts`` as JSON, which `read_onnx` reads."""
    search = None if parts.search is None else vars(parts.search)
    return json.dumps({**vars(parts), "search": search})


def graph_text(model: bytes) -> str:
    """A graph as text, which metadata can hold."""
    return base64.b64encode(model).decode("ascii")


def _metadata(path: Path, data: bytes) -> dict[str, str]:
    """The metadata of the model, and the check that the file is one, whole message."""
    found: dict[str, str] = {}
    has_graph = False
    view = memoryview(data)
    for field, value in _fields(path, view):
        has_graph |= field == _GRAPH
        if field == _METADATA and value is not None:
            entry = dict(_fields(path, value))
            key, text = (entry.get(part) for part in (_ENTRY_KEY, _ENTRY_VALUE))
            if key is not None:
                found[_text(path, key)] = "" if text is None else _text(path, text)
    if not has_graph:
        raise LookcloserError(
            f"{path}: not an ONNX file",
            fix="Write one with `lookcloser export RUN --out FILE.onnx`",
        )
    return found


def _fields(path: Path, data: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """(number, content) of each field of a message; None for numbers, which nobody needs.

    Raises:
        LookcloserError: Where the bytes are no message, or it goes on behind the end.
    """
    for field, content, _ in _spans(path, data):
        yield field, content


def _spans(path: Path, data: memoryview) -> Iterator[tuple[int, memoryview | None, memoryview]]:
    """As `_fields`, and all bytes of each field."""
    at = 0
    for _ in range(MOST_FIELDS):
        if at == len(data):
            return
        begin, content = at, None
        tag, at = _varint(path, data, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(path, data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(path, data, at)
            if at + length > len(data):
                raise _damaged(path)
            content = data[at : at + length]
            at += length
        else:
            raise _damaged(path)
        yield tag >> 3, content, data[begin:at]
    raise _damaged(path)


def _varint(path: Path, data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(data):
            raise _damaged(path)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise _damaged(path)


def _text(path: Path, value: memoryview) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as error:
        raise _damaged(path) from error


def _parts(path: Path, text: str) -> Parts:
    try:
        values: Any = json.loads(text) if len(text) <= LARGEST_HEADER else None
        search = values.get("search")
        threshold = values.get("threshold")
        return Parts(
            None if threshold is None else _within(float(threshold), 0, 1),
            None if search is None else _search(search),
            _whole(values.get("memory", 0), 0, 8),
            _whole(values.get("longest", 0), 0, _LONGEST),
        )
    except (
        AttributeError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise _damaged_header(path) from error


def _search(values: Mapping[str, Any]) -> Search:
    """A search whose work is bounded."""
    found = Search(**values)
    for value in (found.start, found.end):
        _whole(value, 0, LARGEST_FILE)
    _whole(found.longest, 1, _LONGEST)
    _whole(found.beam, 1, _WIDEST)
    for limit in (found.node_budget, found.scored_paths):
        _whole(1 if limit is None else limit, 1, _MOST_NODES)
    _within(found.temperature, 1e-6, 1e6)
    _within(1 if found.top_p is None else found.top_p, 0, 1)
    if not isinstance(found.repeats, bool):
        raise TypeError(found.repeats)
    return found


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(value)
    return value


def _within(value: float, least: float, most: float) -> float:
    if not least <= value <= most:  # NaN neither
        raise ValueError(value)
    return value


def _graph(path: Path, text: str | None) -> bytes:
    if text is None:
        raise _damaged_header(path)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _damaged_header(path) from error


def _damaged(path: Path) -> LookcloserError:
    return LookcloserError(
        f"{path}: not an ONNX file, or cut off", fix="Take the original file or export it again"
    )


def _damaged_header(path: Path) -> LookcloserError:
    return LookcloserError(
        f"{path}: its header is damaged", fix="Take the original file or export it again"
    )
