"""The scans of JPEG files: each asks for a pass over all pixels, and may be a few bytes long."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import IO

from PIL import Image

from lookcloser.core.errors import LookcloserError

_MOST_SCANS = 100  # encoders write 10
_MOST_BYTES = 1 << 30  # of a file that is searched for them
_HEAD = 1 << 16
_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+[^\x00\x01\xff\xd0-\xd7]")  # what follows pixels and is none of them


def check_scans(image: Image.Image, name: str) -> None:
    """Refuse a small JPEG file that would be decoded for hours.

    Args:
        image: As Pillow opened it, not decoded.
        name: What an error calls it.

    Raises:
        LookcloserError: If it has more scans than any encoder writes.
    """
    file = getattr(image, "fp", None)
    if image.format not in ("JPEG", "MPO") or file is None:  # none: it is decoded
        return
    place = file.tell()
    file.seek(0)
    scans = 1 if _is_drawn_at_once(image, file.read(_HEAD)) else _scans(file)
    file.seek(place)
    if scans > _MOST_SCANS:
        raise LookcloserError(
            f"{name}: its pixels are drawn over and over",
            allowed=f"at most {_MOST_SCANS} scans of a JPEG file",
            fix="Save it again",
        )


def _is_drawn_at_once(image: Image.Image, head: bytes) -> bool:
    """Whether the first scan of a JPEG has all there is, as that of nearly every photo has."""
    first = next((place for kind, place in _markers(head) if kind == _SCAN), len(head))
    layers = getattr(image, "layers", 0)
    return "progressive" not in image.info and list(head[first + 2 : first + 3]) == [layers]


def _scans(file: IO[bytes]) -> int:
    """How many scans a JPEG has at most before its end; none counts above `_MOST_SCANS` + 1."""
    file.seek(0)
    content = file.read(_MOST_BYTES)
    most = content.count(b"\xff%c" % _SCAN)  # with those of a thumbnail, or of a film at the end
    if most <= _MOST_SCANS:
        return most
    scans = (kind for kind, _ in _markers(content) if kind == _SCAN)
    return sum(1 for _ in itertools.islice(scans, _MOST_SCANS + 1))


def _markers(content: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG before its end, each with the place behind it."""
    place = 2
    while found := _MARKER.search(content, place):
        place, kind = found.end(), content[found.end() - 1]
        if kind == _END:
            return
        yield kind, place
        place += int.from_bytes(content[place : place + 2])
