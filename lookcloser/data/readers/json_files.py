"""JSON files as the readers need them: told apart without parsing, and read within bounds."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.files import is_regular, read_text

# COCO's largest file, instances_train2017.json, has 448 MiB.
_MAX_JSON = 1 << 30
# A folder with more is one file per image, which is none of the layouts here.
_MOST_FILES = 100


def json_files(folder: Path) -> list[Path]:
    """The JSON files directly in a folder, sorted, none hidden; [] where there are hundreds."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if is_json_name(e.name) and is_regular(Path(e.path)))
    return [folder / name for name in names] if len(names) <= _MOST_FILES else []


def is_json_name(name: str) -> bool:
    """Whether a file name ends like JSON and is not hidden."""
    return name.lower().endswith(".json") and not name.startswith(".")


def mentioned(path: Path, keys: Collection[str]) -> set[str]:
    """Those of ``keys`` that stand in quotes anywhere in a file that begins as a JSON object.

    The bytes are searched, not parsed: this takes a tenth of a second for hundreds of megabytes.
    """
    if not is_regular(path):
        return set()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            if not text[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                return set()
            return {key for key in keys if text.find(f'"{key}"'.encode()) >= 0}
    except (OSError, ValueError):
        # Unreadable or empty.
        return set()


def read_json(path: Path, keep: Collection[str]) -> dict[str, Any]:
    """Read a JSON object of at most 1 GiB.

    Args:
        path: The file.
        keep: Keys to keep, at any depth. The others are dropped while parsing: the outlines of
            COCO's objects alone would take gigabytes.

    Raises:
        LookcloserError: If it is too large, not UTF-8, not JSON (the message names line and
            column), or no object.
    """
    text = read_text(path, _MAX_JSON)
    wanted = frozenset(keep)

    def chosen(pairs: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in pairs.items() if key in wanted}

    try:
        content = json.loads(text, object_hook=chosen)
    except json.JSONDecodeError as error:
        raise LookcloserError(
            f"{path}: not JSON at line {error.lineno} column {error.colno}: {error.msg}",
            fix="Download or write the file again",
        ) from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits; brackets nested thousands deep.
        raise LookcloserError(f"{path}: not a data set: {error}") from error
    if not isinstance(content, dict):
        raise LookcloserError(f"{path}: not a JSON object")
    return content


def records(content: dict[str, Any], key: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, object) of each entry of the list ``content[key]``, such as "a.json images[3]".

    Raises:
        LookcloserError: If there is no such list or an entry is not an object.
    """
    entries = content.get(key)
    if not isinstance(entries, list):
        raise LookcloserError(f"{where}: no list '{key}'")
    for index, entry in enumerate(entries):
        place = f"{where} {key}[{index}]"
        if not isinstance(entry, dict):
            raise LookcloserError(f"{place}: not an object")
        yield place, entry


def text_of(record: dict[str, Any], key: str, where: str) -> str:
    """The text ``record[key]``, stripped.

    Raises:
        LookcloserError: If it is not there, no text, or empty.
    """
    value = record.get(key)
    if not isinstance(value, str):
        raise LookcloserError(f"{where}: no text '{key}'")
    if not value.strip():
        raise LookcloserError(f"{where}: '{key}' is empty")
    return value.strip()


def id_of(record: dict[str, Any], key: str, where: str) -> int | str:
    """The number or text ``record[key]`` that others refer to.

    Raises:
        LookcloserError: If it is not there or something else.
    """
    value = record.get(key)
    if not isinstance(value, int | str):
        raise LookcloserError(f"{where}: no number or text '{key}'")
    return value
