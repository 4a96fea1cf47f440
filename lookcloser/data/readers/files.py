"""What the readers share: paths that stay inside the data set, files of bounded size."""

from __future__ import annotations

import codecs
import json
import math
import os
import posixpath
import re
import stat
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import unreadable, walk_images
from lookcloser.core.types import Box
from lookcloser.data.catalog import Sample
from lookcloser.data.readers import mat

# Far above any published label file, far below what would fill the memory.
_MAX_TEXT = 256 << 20
_MAX_MAT = 16 << 20
_MAX_XML = 1 << 20
_MAT_SECONDS = 60
# How many files are looked at to tell where a missing one may be.
_MOST_SOUGHT = 100_000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:/")
_XML_ENCODING = re.compile(rb"\s*<\?xml[^>]*encoding=[\"']([A-Za-z0-9_.-]{1,40})[\"']")
# Encodings in which ASCII is ASCII, so that what is looked for is found.
_ONE_OF_TEXT = re.compile(
    r"(iso-?8859|latin|windows-|cp\d|gb|big5|shift_jis|euc|koi8)", re.IGNORECASE
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Row(NamedTuple):
    """A sample and the place it was listed at, such as "labels.csv line 14"."""

    where: str
    sample: Sample


def inside(root: Path, listed: str, where: str) -> tuple[str, Path]:
    """The name and the path of a file listed relative to ``root`` (or absolute, inside it).

    Links inside ``root`` may lead anywhere: whoever made the folder made them.

    Raises:
        LookcloserError: If the path leads out of ``root``, is of another computer or a URL, or
            cannot be a path at all.
    """
    name = plain_path(listed, where)
    if name.startswith("/"):
        name = posixpath.relpath(name, root.absolute().as_posix())
    drive = _DRIVE.match(name)
    if drive or name in (".", "..") or name.startswith("../") or "\0" in name:
        wrong = "a path of another computer" if drive else f"outside of {root}"
        there = _called_alike(root, name)
        raise LookcloserError(
            f"{where}: '{listed}' is {wrong}",
            allowed="Paths relative to that folder and below it",
            fix=f"'{there}' is there: list it so" if there else None,
        )
    return name, root / name


def plain_path(listed: str, where: str) -> str:
    """A listed path with "/" between its names, without "." and without ".." behind a name.

    Raises:
        LookcloserError: If it is a URL.
    """
    if _URL.match(listed):
        raise LookcloserError(
            f"{where}: '{listed}' is a URL, and nothing is downloaded",
            fix="Download the images, and list their paths",
        )
    # Tables made on Windows have backslashes.
    return posixpath.normpath(re.sub(r"[\\/]+", "/", listed))


def keep_present(
    rows: Iterable[Row], skip_missing: bool, root: Path
) -> tuple[tuple[Sample, ...], tuple[tuple[str, str], ...]]:
    """Split rows into the samples whose files exist and (name, reason) of the rest.

    Raises:
        LookcloserError: If a file is missing and ``skip_missing`` is False, or every file is; tells
            where in ``root`` a file of that name is.
    """
    rows = list(rows)
    there = [_is_file(row.sample.source) for row in rows]
    missing = [row for row, found in zip(rows, there, strict=True) if not found]
    if missing and (not skip_missing or len(missing) == len(rows)):
        first = missing[0]
        raise LookcloserError(
            f"{first.where}: '{first.sample.name}' not found ({len(missing)} of {len(rows)})"
            f"{_elsewhere(root, first.sample.name)}",
            fix="--skip-missing drops them" if len(missing) < len(rows) else None,
        )
    kept = tuple(row.sample for row, found in zip(rows, there, strict=True) if found)
    return kept, tuple((row.sample.name, f"{row.where}: not found") for row in missing)


def _is_file(source: object) -> bool:
    try:
        return isinstance(source, Path) and os.path.isfile(source)
    except ValueError:  # a name that no system can have
        return False


def _elsewhere(root: Path, name: str) -> str:
    """What is called nearly so, elsewhere or with another ending: "; 'images/0.jpg' is there"."""
    found = _called_alike(root, name)
    if found is None and not any(walk_images(root)):
        return f"; there are no images in {root}"
    return f"; '{found}' is there" if found else ""


def _called_alike(root: Path, name: str) -> str | None:
    """The image below ``root`` that is called like the last part of a path."""

    def stem(path: str) -> str:
        return posixpath.splitext(posixpath.basename(unquote(path)))[0].casefold()

    with suppress(OSError):  # what was looked for is said without it
        files = islice(walk_images(root), _MOST_SOUGHT)
        return next((file for file in files if stem(file) == stem(name)), None)
    return None


def is_regular(path: Path) -> bool:
    """Whether there is an ordinary file: reading a pipe or a device might never end."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, limit: int = _MAX_TEXT) -> bytes:
    """The bytes of an ordinary file of at most ``limit``.

    Raises:
        LookcloserError: If it is larger, unreadable, or a pipe or device.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise LookcloserError(f"{path}: not an ordinary file")
        if status.st_size > limit:
            raise LookcloserError(f"{path}: {status.st_size:,} bytes", allowed=f"At most {limit:,}")
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def read_head(path: Path, size: int = 1 << 16) -> bytes:
    """The first bytes of an ordinary file; none where it is something else or unreadable."""
    if not is_regular(path):
        return b""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def read_text(path: Path, limit: int = _MAX_TEXT) -> str:
    """A UTF-8 file (with or without byte order mark) of at most ``limit`` bytes.

    Raises:
        LookcloserError: If it is larger, unreadable, no ordinary file, or not UTF-8.
    """
    try:
        return _plain_lines(read_bytes(path, limit).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise LookcloserError(
            f"{path}: not UTF-8 text (byte {error.start})", fix="Save it as UTF-8"
        ) from error


def decode_text(content: bytes, path: Path) -> tuple[str, str | None]:
    """Text in UTF-8, UTF-16, UTF-32 or else Windows-1252; and a note about the last.

    Raises:
        LookcloserError: If it is no text in any of them.
    """
    try:
        text = content.decode(unicode_form(content))
        if "\0" in text:
            raise LookcloserError(f"{path}: not text", fix="Save it as UTF-8")
        return _plain_lines(text), None
    except UnicodeDecodeError as error:
        broken = error
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        text = "\0"
    if _CONTROLS.search(text):
        raise LookcloserError(
            f"{path}: not UTF-8 text (byte {broken.start})", fix="Save it as UTF-8"
        ) from broken
    note = "not UTF-8, read as Windows-1252 (Latin-1): look whether its names are right"
    return _plain_lines(text), f"{path.name}: {note}"


def unicode_form(content: bytes) -> str:
    """UTF-16 or 32 by its mark or UTF-16 by zeros beside the first two signs, else UTF-8."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    zeros = [byte == 0 for byte in content[:4]]
    if zeros == [False, True] * 2:
        return "utf-16-le"
    return "utf-16-be" if zeros == [True, False] * 2 else "utf-8-sig"


def _plain_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Variables of a MATLAB file as lists, dictionaries (of structures), numbers and strings.

    Read in a process of its own, with bounds on its time and memory: scipy's reader is not made for
    files of others, and a damaged one can end the process it is read in.

    Raises:
        LookcloserError: If the file is larger than 16 MiB, cannot be read or lacks a name.
    """
    size = path.stat().st_size
    if size > _MAX_MAT:
        raise LookcloserError(f"{path}: {size:,} bytes", allowed=f"At most {_MAX_MAT:,}")
    # -P: nothing of the current folder is imported.
    command = [sys.executable, "-P", mat.__file__, os.fspath(path), *names]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_MAT_SECONDS, check=False)
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines and done.returncode > 0 else "its structure is damaged"
        else:
            content: dict[str, Any] = json.loads(done.stdout)
            reason = ""
    except subprocess.TimeoutExpired:
        reason = f"not done after {_MAT_SECONDS} seconds"
    if reason:
        raise LookcloserError(f"{path}: cannot be read as a MATLAB file: {reason}")
    for name in names:
        if name not in content:
            raise LookcloserError(f"{path}: has no variable '{name}'")
    return content


def as_list(value: Any) -> list[Any]:
    """A list as it is; the one entry of a list that MATLAB has squeezed, as a list."""
    return value if isinstance(value, list) else [value]


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
    text = _xml_text(read_bytes(path, _MAX_XML), path)
    if "<!" in text.replace("<!--", ""):
        raise LookcloserError(f"{path}: document types and entities are not read")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise LookcloserError(f"{path}: not an annotation with boxes: {error}") from error


def _xml_text(content: bytes, path: Path) -> str:
    """The text of an XML file without its first line, which may declare an encoding."""
    declared = _XML_ENCODING.match(content)
    name = declared[1].decode() if declared else ""
    try:
        text = content.decode(name) if _ONE_OF_TEXT.match(name) else decode_text(content, path)[0]
    except (UnicodeDecodeError, LookupError) as error:
        raise LookcloserError(f"{path}: not text in {name}", fix="Save it as UTF-8") from error
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", text)


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
