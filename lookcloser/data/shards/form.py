"""The form of a data set in shards: the names of its files, and the JSON of one sample.

A shard is a tar archive in the manner of WebDataset: ``000000012.jpg`` beside ``000000012.json``.
The key is the number of the sample in the data set. ``shards.json`` beside the archives says what
belongs to all of them; without it they can be read as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from lookcloser.core.archives import Packed
from lookcloser.core.choices import Task
from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import HEIC_SUFFIXES, IMAGE_SUFFIXES
from lookcloser.core.types import Box
from lookcloser.data.catalog import Sample

INDEX = "shards.json"
FORMAT = 1
SUFFIX = ".tar"
LARGEST_JSON = 1 << 20
TASKS: tuple[Task, ...] = get_args(Task)
PHOTO_SUFFIXES = IMAGE_SUFFIXES | HEIC_SUFFIXES
_SPLITS = ("train", "val", "test", None)


def sample_json(sample: Sample, task: Task) -> bytes:
    """What stands beside an image: name, split, answer and boxes; the same bytes for the same."""
    values = {
        "name": sample.name,
        "task": task,
        "split": sample.split,
        "labels": list(sample.labels),
        "captions": list(sample.captions),
        "boxes": [[label, list(box)] for label, box in sample.boxes],
    }
    return json.dumps(values, separators=(",", ":")).encode()


def read_json(member: Packed) -> dict[str, Any]:
    """The JSON object in a member.

    Raises:
        LookcloserError: If it is larger than 1 MiB, or no JSON object.
    """
    if member.size > LARGEST_JSON:
        raise LookcloserError(
            f"{member}: {member.size:,} bytes", allowed=f"At most {LARGEST_JSON:,}"
        )
    try:
        values = json.loads(member.read())
    except (ValueError, RecursionError) as error:
        raise LookcloserError(f"{member}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise LookcloserError(f"{member}: not a JSON object")
    return values


def texts(values: Mapping[str, Any], key: str, where: object) -> tuple[str, ...]:
    """A list of strings below a key; () where it is not there.

    Raises:
        LookcloserError: If it is something else.
    """
    found = values.get(key) or []
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise LookcloserError(f"{where}: '{key}' is no list of texts")
    return tuple(found)


def split_of(values: Mapping[str, Any], where: object) -> str | None:
    """The split of a sample.

    Raises:
        LookcloserError: If it is another than train, val and test.
    """
    split = values.get("split")
    if split not in _SPLITS:
        raise LookcloserError(f"{where}: split {split!r}", allowed="train, val, test")
    return split


def boxes_of(values: Mapping[str, Any], where: object) -> tuple[tuple[str | None, Box], ...]:
    """The boxes of a sample, as [label or null, [x0, y0, x1, y1]].

    Raises:
        LookcloserError: If they have another form.
    """
    try:
        return tuple(_box(*entry) for entry in values.get("boxes") or ())
    except (TypeError, ValueError, OverflowError) as error:
        raise LookcloserError(
            f"{where}: 'boxes' cannot be read", allowed="A list of [label, [x0, y0, x1, y1]]"
        ) from error


def _box(label: Any, corners: Any) -> tuple[str | None, Box]:
    if not isinstance(label, str | None) or not isinstance(corners, list):
        raise TypeError(label)
    x0, y0, x1, y1 = map(float, corners)
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise ValueError(corners)
    return label, (x0, y0, x1, y1)


def is_photo_name(name: str) -> bool:
    """Whether a member is an image by its ending; whether it can be read is seen later."""
    return name[name.rfind(".") :].lower() in PHOTO_SUFFIXES


def archives_in(path: Path) -> list[Path]:
    """The shards that a path stands for: itself, or those directly in a folder, by name."""
    if path.is_dir():
        found = (path / name.name for name in path.iterdir() if not name.name.startswith("."))
        return sorted(file for file in found if _is_shard(file))
    return [path] if _is_shard(path) else []


def _is_shard(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX and path.is_file()
