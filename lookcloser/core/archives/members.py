"""The table of contents of a tar archive, read header by header.

Python's ``tarfile`` reads long names and extended headers of any size into memory; here they are
bounded, and nothing but ordinary files is handed on. Its parser of a single header is used.
"""

from __future__ import annotations

import itertools
import re
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lookcloser.core.archives.packed import Packed
from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import unreadable

LARGEST_MEMBER = 1 << 30
"""Bytes of the largest file in an archive that is read; as of one that is no archive."""

_BLOCK = tarfile.BLOCKSIZE
_LARGEST_EXTRA = 1 << 16
_PLAIN = {tarfile.REGTYPE, tarfile.AREGTYPE}
_EXTENDED = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE}
_FOLLOWED = {*_PLAIN, *_EXTENDED, *tarfile.GNU_TYPES, tarfile.XGLTYPE, tarfile.CONTTYPE}
_PAX_RECORD = re.compile(rb"(\d{1,5}) ([^=]+)=")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class _Link(NamedTuple):
    """A name for a file that comes before it in the archive."""

    name: str
    target: str


def members(archive: str | Path) -> Iterator[Packed]:
    """The ordinary files in a tar archive, in their order; headers alone are read.

    A hard link is the file that it names, which tar writes once. Folders, other links and devices
    are passed over. Names come as they stand there: they are not to be used as paths.

    Args:
        archive: A .tar file, not compressed: compressed ones have no places to read from.

    Raises:
        LookcloserError: For a file that is missing, compressed, no tar archive, damaged or cut
            short, with a member above `LARGEST_MEMBER` or a name above 64 KiB.
    """
    path = Path(archive)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for who writes to it
            raise LookcloserError(f"{path}: not an ordinary file")
        with path.open("rb") as file:
            yield from _linked(path, _entries(path, file, status.st_size))
    except OSError as error:
        raise unreadable(path, error) from error


def _linked(path: Path, entries: Iterator[Packed | _Link]) -> Iterator[Packed]:
    """Files and hard links; names are remembered only where there is a link."""
    known: dict[str, Packed] | None = None
    for number, entry in enumerate(entries):
        file: Packed | None
        if isinstance(entry, _Link):
            known = _first(path, number) if known is None else known
            target = known.get(entry.target)
            file = None if target is None else replace(target, name=entry.name)
        else:
            file = entry
        if file is not None:  # else it links to another archive, or to nothing
            if known is not None:
                known[file.name] = file
            yield file


def _first(path: Path, number: int) -> dict[str, Packed]:
    """The first files of an archive by name."""
    with path.open("rb") as file:
        entries = itertools.islice(_entries(path, file, path.stat().st_size), number)
        return {entry.name: entry for entry in entries if isinstance(entry, Packed)}


def _entries(path: Path, file: BinaryIO, length: int) -> Iterator[Packed | _Link]:
    place, long_name, long_target, extended = 0, None, None, dict[str, str]()
    while place + _BLOCK <= length:
        file.seek(place)
        block = file.read(_BLOCK)
        if not block.strip(b"\0"):
            return  # the end of the archive
        header = _header(path, place, block)
        size = _size(path, header, extended)
        begin = place + _BLOCK
        if header.type == tarfile.GNUTYPE_LONGNAME:
            long_name = _text(_extra(path, file, begin, size).rstrip(b"\0"))
        elif header.type == tarfile.GNUTYPE_LONGLINK:
            long_target = _text(_extra(path, file, begin, size).rstrip(b"\0"))
        elif header.type in _EXTENDED:
            extended = _records(path, _extra(path, file, begin, size))
        elif header.type != tarfile.XGLTYPE:
            name = extended.get("path") or long_name or header.name
            if header.type == tarfile.LNKTYPE:
                yield _Link(name, extended.get("linkpath") or long_target or header.linkname)
            elif header.type in _PLAIN and "GNU.sparse.major" not in extended:
                if size > LARGEST_MEMBER:
                    raise LookcloserError(
                        f"{path}: a member of {size:,} bytes", allowed=f"At most {LARGEST_MEMBER:,}"
                    )
                if begin + size > length:
                    raise _cut_short(path)
                yield Packed(path, name, begin, size)
            long_name, long_target, extended = None, None, {}
        place = begin + -(-size // _BLOCK) * _BLOCK
    if place < length or length == 0:  # without empty blocks at the end it is whole, too
        raise _cut_short(path)


def _header(path: Path, place: int, block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if block.startswith(_COMPRESSED):
            raise LookcloserError(
                f"{path}: a compressed archive, whose images cannot be read in place",
                fix="Unpack the archive itself, e.g. `gunzip FILE.tar.gz`; images are compressed",
            ) from error
        what = "not a tar archive" if place == 0 else f"damaged at byte {place:,} ({error})"
        raise LookcloserError(f"{path}: {what}", fix="Copy the archive again") from error


def _size(path: Path, header: tarfile.TarInfo, extended: dict[str, str]) -> int:
    """Of what follows a header; links and folders have a size that nothing follows."""
    if header.type == tarfile.GNUTYPE_SPARSE:
        raise LookcloserError(f"{path}: a sparse file", fix="Write it without --sparse")
    if header.type not in _FOLLOWED:
        return 0
    text = extended.get("size", "")
    size = int(text) if text.isdecimal() and len(text) < 20 else header.size
    if size < 0:
        raise LookcloserError(f"{path}: damaged: a member of {size} bytes")
    return size


def _extra(path: Path, file: BinaryIO, begin: int, size: int) -> bytes:
    if size > _LARGEST_EXTRA:
        raise LookcloserError(
            f"{path}: a header of {size:,} bytes", allowed=f"At most {_LARGEST_EXTRA:,}"
        )
    file.seek(begin)
    content = file.read(size)
    if len(content) < size:
        raise _cut_short(path)
    return content


def _records(path: Path, content: bytes) -> dict[str, str]:
    """Of an extended header: "LENGTH KEY=VALUE" and a line end, one after the other."""
    found, place = dict[str, str](), 0
    while place < len(content) and content[place : place + 1] != b"\0":
        match = _PAX_RECORD.match(content, place)
        end = place + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(content):
            raise LookcloserError(f"{path}: damaged: an extended header that cannot be read")
        found[_text(match[2])] = _text(content[match.end() : end - 1])
        place = end
    return found


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _cut_short(path: Path) -> LookcloserError:
    return LookcloserError(f"{path}: the archive is cut short", fix="Copy it again")
