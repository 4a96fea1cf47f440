"""What the readers share: paths that stay inside the data set, files of bounded size."""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box
from lookcloser.data.catalog import Sample

# Far above any published label file, far below what would fill the memory.
_MAX_TEXT = 256 << 20
_MAX_MAT = 16 << 20
_MAX_XML = 1 << 20


class Row(NamedTuple):
    """A sample and the place it was listed at, such as "labels.csv line 14"."""

    where: str
    sample: Sample


def inside(root: Path, listed: str, where: str) -> tuple[str, Path]:
    """The name and the path of a file listed relative to ``root`` (or absolute, inside it).

    Links inside ``root`` may lead anywhere: whoever made the folder made them.

    Raises:
        LookcloserError: If the path leads out of ``root``.
    """
    # Tables made on Windows have backslashes.
    name = posixpath.normpath(listed.replace("\\", "/"))
    if name.startswith("/"):
        name = posixpath.relpath(name, root.absolute().as_posix())
    if name in (".", "..") or name.startswith("../"):
        raise LookcloserError(
            f"{where}: '{listed}' is outside of {root}",
            allowed="Paths relative to that folder and below it",
        )
    return name, root / name


def keep_present(
    rows: Iterable[Row], skip_missing: bool
) -> tuple[tuple[Sample, ...], tuple[tuple[str, str], ...]]:
    """Split rows into the samples whose files exist and (name, reason) of the rest.

    Raises:
        LookcloserError: If a file is missing and ``skip_missing`` is False.
    """
    rows = list(rows)
    sources = (row.sample.source for row in rows)
    there = [isinstance(source, Path) and os.path.isfile(source) for source in sources]
    missing = [row for row, found in zip(rows, there, strict=True) if not found]
    if missing and not skip_missing:
        raise LookcloserError(
            f"{missing[0].where}: '{missing[0].sample.name}' not found "
            f"({len(missing)} of {len(rows)})",
            fix="--skip-missing drops them",
        )
    kept = tuple(row.sample for row, found in zip(rows, there, strict=True) if found)
    return kept, tuple((row.sample.name, f"{row.where}: not found") for row in missing)


def read_text(path: Path, limit: int = _MAX_TEXT) -> str:
    """A UTF-8 file (with or without byte order mark) of at most ``limit`` bytes.

    Raises:
        LookcloserError: If it is larger, unreadable, or not UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise LookcloserError(f"{path}: {size:,} bytes", allowed=f"At most {limit:,}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LookcloserError(
            f"{path}: not UTF-8 text (byte {error.start})", fix="Save it as UTF-8"
        ) from error
    except OSError as error:
        raise LookcloserError(f"{path}: cannot be read: {error.strerror}") from error


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Variables of a MATLAB file, dimensions of 1 squeezed away.

    Raises:
        LookcloserError: If the file is larger than 16 MiB, cannot be read or lacks a name.
    """
    from scipy.io import loadmat

    size = path.stat().st_size
    if size > _MAX_MAT:
        raise LookcloserError(f"{path}: {size:,} bytes", allowed=f"At most {_MAX_MAT:,}")
    try:
        content: dict[str, Any] = loadmat(path, squeeze_me=True, variable_names=names)
    except Exception as error:
        # scipy raises anything from TypeError to NotImplementedError on a damaged file.
        raise LookcloserError(f"{path}: cannot be read as a MATLAB file: {error}") from error
    for name in names:
        if name not in content:
            raise LookcloserError(f"{path}: has no variable '{name}'")
    return content


def read_xml_boxes(path: Path) -> tuple[Box, ...]:
    """The boxes of all objects of an annotation in the form of PASCAL VOC, as written there.

    Raises:
        LookcloserError: If `read_xml` refuses the file, or it lacks a coordinate.
    """
    return tuple(corners(box, path) for box in read_xml(path).iter("bndbox"))


def read_xml(path: Path) -> ElementTree.Element:
    """The root element of an annotation.

    Raises:
        LookcloserError: If the file is larger than 1 MiB, declares entities (which can be made to
            fill the memory), or is not XML.
    """
    text = read_text(path, _MAX_XML)
    if "<!" in text.replace("<!--", ""):
        raise LookcloserError(f"{path}: document types and entities are not read")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise LookcloserError(f"{path}: not an annotation with boxes: {error}") from error


def corners(box: ElementTree.Element, path: Path) -> Box:
    """xmin, ymin, xmax, ymax below an element ``bndbox``, as written there.

    Raises:
        LookcloserError: If one is not there or not a finite number; names ``path``.
    """
    try:
        x0, y0, x1, y1 = (float(box.findtext(k, "")) for k in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError as error:
        raise LookcloserError(f"{path}: not an annotation with boxes: {error}") from error
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise LookcloserError(f"{path}: not an annotation with boxes: a corner is not finite")
    return x0, y0, x1, y1
