"""Which tables in a folder are those of its images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import subfolders, walk_images
from lookcloser.data.readers import folders
from lookcloser.data.readers.files import inside, is_regular
from lookcloser.data.readers.tables.columns import TASKS, has_answer, image_column, understand
from lookcloser.data.readers.tables.delimited import (
    TABLE_SUFFIXES,
    is_table_name,
    read_columns,
    read_table,
)
from lookcloser.data.readers.tables.lookup import ImageFinder
from lookcloser.data.readers.tables.names import is_row_number
from lookcloser.data.readers.tables.places import image_root, is_part, named_split

_PROBES = 20
_FORM = re.compile(r"sample.?submission|submission", re.IGNORECASE)
NONE: Mapping[str, str] = MappingProxyType({})


def tables_of(root: Path) -> list[tuple[Path, str | None]]:
    """The tables of images in a folder with the split in their name, else those in its splits.

    Else those in folders of tables, ``annotations/``. Those with an answer come first, then those
    whose answer only their cells tell, such as a column for each class, then those of images.
    """
    names = subfolders(root)
    splits = {name: folders.split_of(name, names) for name in names}
    own = _images_of(root, None)
    below = [found for name, split in splits.items() if split
             for found in _images_of(root / name, split)]  # fmt: skip
    parts = [name for name in names if not splits[name] and is_part(name)]
    apart = [found for name in parts if not _has_images(root / name)
             for found in _images_of(root / name, None)]  # fmt: skip
    for level in (own, below, apart):
        answered = [(path, split) for path, split in level if _is_clear(read_columns(path))]
        perhaps = [(path, split) for path, split in level if _is_understood(path)]
        if answered or perhaps:
            return answered or perhaps
    return [(path, split) for path, split in own if "image" in read_columns(path)]


def has_columns(root: Path, names: Iterable[str]) -> bool:
    """Whether ``root`` is a table, or a folder with tables, that has columns of all these names."""
    if root.is_file():
        return is_table_name(root) and _has(root, names)
    return root.is_dir() and bool(with_columns(root, names))


def with_columns(root: Path, names: Iterable[str]) -> list[tuple[Path, str | None]]:
    """The tables in a folder that have columns of all these names, else those in its splits."""
    below = subfolders(root)
    splits = {name: folders.split_of(name, below) for name in below}
    own = [(path, named_split(path.stem)) for path in all_tables(root) if _has(path, names)]
    return own or [
        (path, split)
        for name, split in splits.items()
        if split
        for path in all_tables(root / name)
        if _has(path, names)
    ]


def all_tables(folder: Path) -> list[Path]:
    """Every table but the forms for answers that competitions hand out."""
    with os.scandir(folder) as entries:  # of which most are images
        names = sorted(e.name for e in entries if e.name.lower().endswith(TABLE_SUFFIXES))
    paths = (folder / name for name in names if not _FORM.search(name))
    return [path for path in paths if is_table_name(path) and is_regular(path)]


def is_plain(path: Path) -> bool:
    columns = read_columns(path)
    return "image" in columns and not set(TASKS).isdisjoint(columns)


def leads_to_images(path: Path) -> bool:
    """Whether half of a sample of the rows name images that are there."""
    try:
        table = read_table(path)
        column = understand(table, NONE).image
        listed = [cells[column] for _, cells in table.rows[:: max(1, len(table.rows) // _PROBES)]]
        root = image_root(path)
        names = [inside(root, name, "")[0] for name in filter(None, listed)]
        found = ImageFinder(root).find(names, named_split(path.stem), "")
    except LookcloserError:
        return False
    return 2 * sum((root / name).is_file() for name in found.values()) >= max(1, len(names))


def _images_of(folder: Path, split: str | None) -> list[tuple[Path, str | None]]:
    """The tables in a folder with a column of images, and the split that they are of."""
    tables = (path for path in all_tables(folder) if _names_images(path))
    return [(path, split or named_split(path.stem)) for path in tables]


def _has_images(folder: Path) -> bool:
    return any(walk_images(folder))


def _names_images(path: Path) -> bool:
    """Whether a column is called as one of images, or holds their names beside an answer."""
    columns = read_columns(path)
    if image_column(columns):
        return True
    own = [column for column in columns if not is_row_number(column)]
    return (has_answer(own) or len(own) == 2) and _is_understood(path)


def _has(table: Path, names: Iterable[str]) -> bool:
    return {name.strip().lower() for name in names} <= set(read_columns(table))


def _is_clear(columns: tuple[str, ...]) -> bool:
    image = image_column(columns)
    return has_answer([column for column in columns if column != image])


def _is_understood(path: Path) -> bool:
    """Whether its cells say what its names do not: a column for each class, or of words."""
    try:
        return bool(understand(read_table(path), NONE))
    except LookcloserError:
        return False
