"""Tables in JSON: one object a line, a list of objects, or image -> label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import IMAGE_SUFFIXES
from lookcloser.data.readers.files import read_head

Cells = tuple[str, ...]
Record = tuple[int, dict[str, Any]]

_LIST = re.compile(r"\s*\[\s*\{")
_ENDINGS = "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES))
_BY_IMAGE = re.compile(rf'\s*\{{\s*"[^"]{{1,1000}}(?:{_ENDINGS})"\s*:', re.IGNORECASE)


def holds_rows(path: Path) -> bool:
    """Whether a .json file begins as a list of objects, or with the name of an image.

    Not a list of what a detector has found, as COCO has them.
    """
    head = read_head(path, 4096).decode("utf-8-sig", "ignore")
    is_list = _LIST.match(head) and '"category_id"' not in head
    return bool(is_list or _BY_IMAGE.match(head))


def json_lines(path: Path, text: str) -> Iterator[tuple[int, Cells]]:
    """The columns that occur in any object, then (number of the line or object, cells) of each.

    Raises:
        LookcloserError: For what is not JSON, or not of that form.
    """
    records = list(_whole(path, text) if path.suffix.lower() == ".json" else _by_line(path, text))
    columns = list(dict.fromkeys(key for _, record in records for key in record))
    if columns:
        yield 0, tuple(column.strip() for column in columns)
    for number, record in records:
        yield number, tuple(as_text(record.get(column)) for column in columns)


def _by_line(path: Path, text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _record(_parsed(line, f"{path.name} line {number}"), path, number)


def _whole(path: Path, text: str) -> Iterator[Record]:
    content = _parsed(text, path.name)
    if isinstance(content, dict):
        content = [
            {"image": name, **(value if isinstance(value, dict) else _answer(value))}
            for name, value in content.items()
        ]
    if not isinstance(content, list):
        raise LookcloserError(f"{path.name}: not a list of objects")
    for number, value in enumerate(content, 1):
        yield _record(value, path, number)


def _answer(value: object) -> dict[str, object]:
    return {"labels" if isinstance(value, list) else "label": value}


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LookcloserError(f"{where}: not JSON: {error}") from error


def _record(value: Any, path: Path, number: int) -> Record:
    if not isinstance(value, dict):
        raise LookcloserError(f"{path.name} line {number}: not a JSON object")
    return number, value


def as_text(value: object) -> str:
    """A value of JSON or of a spreadsheet as the text that a CSV would have."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()
