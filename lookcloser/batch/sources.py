"""What is to be answered, one image after the other: folders, lists, tables, shards.

Nothing here holds all images: a source can be gone through again, in the same order.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from lookcloser.core.archives import Packed
from lookcloser.core.errors import LookcloserError
from lookcloser.core.extras import needed
from lookcloser.core.storage.cells import cell_text
from lookcloser.core.storage.files import (
    find_images,
    is_there,
    missing_path,
    own_path,
    refuse_url,
    walk_files,
)
from lookcloser.data.readers.files import unicode_form
from lookcloser.data.readers.tables.columns import image_column
from lookcloser.data.shards.form import SUFFIX, archives_in, is_photo_name
from lookcloser.data.shards.reading import images_in

LISTS = (".txt", ".lst", ".csv", ".tsv", ".parquet")
Source = Path | Packed
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_ROWS = 4096  # of a Parquet file in memory at a time


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source.

    Attributes:
        index: Its number in the source, from 0.
        source: The file, or its place in an archive.
    """

    index: int
    source: Source


@dataclass(frozen=True)
class Part:
    """Some images that follow each other, answered and written together.

    Attributes:
        number: From 0.
        items: The images.
    """

    number: int
    items: tuple[Item, ...]

    @cached_property
    def digest(self) -> str:
        """Of the names of the images, and their places in archives."""
        digest = hashlib.blake2b(digest_size=6)
        for item in self.items:
            digest.update(repr(_plain(item.source)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def to_json(self) -> str:
        """A line that `from_json` reads, in another process or on another machine."""
        first = self.items[0].index
        return json.dumps([self.number, first, [_plain(item.source) for item in self.items]])

    @staticmethod
    def from_json(text: str) -> Part:
        """The part of `to_json`."""
        number, first, sources = json.loads(text)
        numbered = enumerate(map(_source, sources), first)
        return Part(number, tuple(Item(index, source) for index, source in numbered))


def _plain(source: Source) -> str | list[Any]:
    if isinstance(source, Packed):
        return [str(source.archive), source.name, source.offset, source.size]
    return str(source)


def _source(plain: str | list[Any]) -> Source:
    if isinstance(plain, str):
        return Path(plain)
    archive, name, offset, size = plain
    return Packed(Path(archive), name, offset, size)


def parts(sources: Sequence[str], images: int) -> Iterator[Part]:
    """The images of `images_of`, ``images`` in a part.

    Raises:
        LookcloserError: As `images_of`, on the way.
    """
    numbered = (Item(*entry) for entry in enumerate(images_of(sources)))
    for number in itertools.count():
        items = tuple(itertools.islice(numbered, images))
        if not items:
            return
        yield Part(number, items)


def images_of(sources: Iterable[str]) -> Iterator[Source]:
    """The images that sources stand for, in a fixed order.

    Each is one of: a folder (every image below it, or the shards in it), a .tar of WebDataset, also
    several as ``shard-{000..009}.tar`` or by a glob, a list of paths (.txt, one a line), a table
    with a column of paths (.csv, .tsv, .parquet), an image, a glob of images. Paths in a list are
    relative to its folder. A file that is listed twice is answered twice.

    Raises:
        LookcloserError: For a source that is not there, holds no images or cannot be read.
    """
    several, empty = False, list[str]()
    for source in sources:
        refuse_url(source)
        found = _images_of(source)
        first = next(found, None)
        if first is not None:
            several = True
            yield first
            yield from found
        elif own_path(source).is_file() and source.lower().endswith(SUFFIX):  # it may be empty
            empty.append(source)
        else:
            raise _no_images(source)
    if empty and not several:
        raise _no_images(empty[0])


def _no_images(source: str) -> LookcloserError:
    return LookcloserError(
        f"{source}: no images",
        allowed=f"A folder, a .tar of WebDataset, or a list ({', '.join(LISTS)})",
    )


def _images_of(source: str) -> Iterator[Source]:
    path = own_path(source)
    if path.is_dir():
        yield from _in_folder(path)
    elif not path.exists() and _RANGE.search(source):
        for name in _expanded(source):
            yield from _in_archive(own_path(name))
    elif not path.exists() and glob.has_magic(source) and source.endswith(SUFFIX):
        for name in sorted(glob.glob(str(path))):
            yield from _in_archive(Path(name))
    elif path.name.lower().endswith((SUFFIX, *_COMPRESSED)):  # the latter are refused there
        yield from _in_archive(path)
    elif path.suffix.lower() in LISTS:
        if not path.exists():
            raise missing_path(source, "list")
        if not path.is_file():  # a pipe would be waited for
            raise LookcloserError(f"{source}: not an ordinary file")
        yield from _in_list(path)
    else:
        yield from find_images(source)


def _in_folder(folder: Path) -> Iterator[Source]:
    names = (name for name in walk_files(folder) if is_photo_name(name))
    first = next(names, None)
    if first is None:
        for archive in archives_in(folder):
            yield from _in_archive(archive)
        return
    yield folder / first
    yield from (folder / name for name in names)


def _in_archive(path: Path) -> Iterator[Source]:
    if not is_there(path):
        raise missing_path(path, "shard")
    for member in images_in(path):
        yield member.image
        yield from member.others


def _expanded(text: str) -> Iterator[str]:
    """``a-{08..10}.tar`` as a-08.tar, a-09.tar, a-10.tar; several ranges from left to right."""
    match = _RANGE.search(text)
    if match is None:
        yield text
        return
    first, last = match.groups()
    width = len(first) if first.startswith("0") else 0
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{text[: match.start()]}{number:0{width}d}{text[match.end() :]}")


def _in_list(path: Path) -> Iterator[Source]:
    ending = path.suffix.lower()
    read = _parquet_cells if ending == ".parquet" else _lines if ending in LISTS[:2] else _cells
    for text in read(path):
        refuse_url(text)
        if text:
            yield path.parent / own_path(text)


def _opened(path: Path, newline: str | None = None) -> TextIO:
    """A list as text; names in UTF-8 may have bytes that are none, as names of files may."""
    with path.open("rb") as file:
        form = unicode_form(file.read(4))
    errors = "surrogateescape" if form == "utf-8-sig" else "replace"
    return path.open(encoding=form, errors=errors, newline=newline)


def _lines(path: Path) -> Iterator[str]:
    with _opened(path) as file:
        for line in file:
            yield line.strip()


def _cells(path: Path) -> Iterator[str]:
    """The cells of the column of paths, row by row."""
    with _opened(path, newline="") as file:
        header = file.readline()
        separator = max(",;\t", key=header.count)
        columns = next(csv.reader([header], delimiter=separator), [])
        place = _column(path, columns)
        rows = csv.reader(file, delimiter=separator)
        try:
            for row in rows:
                yield cell_text(row[place].strip()) if place < len(row) else ""
        except csv.Error as error:
            raise LookcloserError(f"{path} line {rows.line_num + 1}: not a row: {error}") from error


def _parquet_cells(path: Path) -> Iterator[str]:
    parquet = needed("pyarrow.parquet", f"{path}: a Parquet file")
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            column = names[_column(path, names)]
            for rows in file.iter_batches(batch_size=_ROWS, columns=[column]):
                yield from (str(value or "").strip() for value in rows.column(0).to_pylist())
    except (OSError, ValueError) as error:
        if isinstance(error, LookcloserError):
            raise
        raise LookcloserError(f"{path}: not a Parquet file that can be read: {error}") from error


def _column(path: Path, columns: Sequence[str]) -> int:
    """The place of the column of paths."""
    lower = [column.strip().lower() for column in columns]
    found = image_column(lower)
    if found is None:
        raise LookcloserError(
            f"{path}: no column of paths (found {', '.join(columns[:8]) or 'none'})",
            fix="Call the column 'image' or 'path'",
        )
    return lower.index(found)
