"""What a folder that no reader recognizes most likely is, and the one thing to change."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import (
    HEIC_SUFFIXES,
    is_hidden,
    is_image_name,
    leads_to_file,
    subfolders,
    walk_files,
    walk_images,
)
from lookcloser.core.wording import count, named, some
from lookcloser.data.readers import READERS, Reader
from lookcloser.data.readers.files import read_head
from lookcloser.data.readers.folders import split_of
from lookcloser.data.readers.tables.columns import has_answer, image_column, likely_answer
from lookcloser.data.readers.tables.delimited import is_table_name, read_columns, read_table
from lookcloser.data.readers.yolo import yolo
from lookcloser.data.readers.yolo.finding import descriptions

_FEW = 50
_MANY = 2000
_DEEPEST = 3
_OWN_FOLDERS = (
    "Put the images of each class in a folder of its own, or list them in a table labels.csv with "
    "columns image,label"
)
_SEPARATORS = re.compile(r"[\s,;|]+")
_UNREAD_FORMS = (".arrow", ".feather", ".ods", ".parquet", ".xls")
# CelebA has two lines above the first image.
_FIRST_LINES = 4
# "cat.0.jpg", "cat_12.png", "cat (3).jpg"
_NUMBERED = re.compile(r"([^\W\d_][\w -]*?)[ ._(-]*\d+\)?\.[A-Za-z0-9]+")


def unknown_layout(root: Path) -> LookcloserError:
    """The error for a folder without a known layout: its likeliest reading comes first."""
    for read in _READINGS:
        found = read(root)
        if found is not None:
            reading, change = found
            break
    layouts = ", ".join(reader.layout for reader in READERS)
    return LookcloserError(
        f"{root}: {reading}", fix=f"{change}. Layouts that are recognized: {layouts}"
    )


def first_reader(root: Path) -> Reader | None:
    """The reader that recognizes a folder or file."""
    return next((reader for reader in READERS if reader.recognizes(root)), None)


def inner_data_sets(root: Path) -> str | None:
    """Which folders below are data sets by themselves, as advice.

    Those nearest to ``root``, and no lists without images: these need the folder above.
    """
    level = [""]
    for _ in range(_DEEPEST):
        level = [
            f"{above}/{name}" if above else name
            for above in level
            for name in subfolders(root / above)[:_FEW]
            if any(walk_images(root / above / name))
        ][:_FEW]
        readers = ((place, first_reader(root / place)) for place in level)
        readable = [f"'{place}' ({reader.layout})" for place, reader in readers if reader]
        if readable:
            return f"Give one of its folders: {', '.join(readable)}"
    return None


def yolo_signs(root: Path) -> str | None:
    """What in a folder is of a YOLO data set, in words."""
    files = list(islice(walk_files(root), _MANY))
    signs = [f for f in files if f.count("/") < 2 and f.lower().endswith((".yaml", ".yml"))]
    texts = any(re.search(r"(^|/)labels/(.*/)?[^/]+\.txt$", file) for file in files)
    return " and ".join([*signs[:1], *(["labels/*.txt"] if texts else [])]) if texts else None


def unread_tables(root: Path) -> list[str]:
    """The tables directly in a folder with their columns: "a.csv (columns x, y)"."""
    with os.scandir(root) as entries:
        names = sorted(e.name for e in entries if not is_hidden(e.name) and leads_to_file(e))
    tables = [root / name for name in names[: 2 * _FEW] if is_table_name(root / name)]
    return [
        f"{table.name} (columns {', '.join(read_columns(table)[:8]) or 'that cannot be read'})"
        for table in tables
    ]


def _empty(root: Path) -> tuple[str, str] | None:
    with os.scandir(root) as entries:
        empty = all(is_hidden(entry.name) for entry in entries)
    return ("the folder is empty", "Give the folder that holds the images") if empty else None


def _further_down(root: Path) -> tuple[str, str] | None:
    hint = inner_data_sets(root)
    return ("no data set itself, but a folder of one or more", hint) if hint else None


def _no_images(root: Path) -> tuple[str, str] | None:
    if any(walk_images(root)):
        return None
    endings = Counter(os.path.splitext(f)[1].lower() for f in islice(walk_files(root), _MANY))
    photos = sum(endings[suffix] for suffix in HEIC_SUFFIXES)
    if photos:
        return f"{photos:,} HEIC images only", "`pip install 'lookcloser[heic]'`"
    found = ", ".join(f"{number} {suffix or 'others'}" for suffix, number in endings.most_common(5))
    tables = unread_tables(root)
    beside = f"; {', '.join(tables)}" if tables else ""
    return (
        f"no images anywhere in it (found {found or 'empty folders'}{beside})",
        "Give the folder that holds the images",
    )


def _yolo(root: Path) -> tuple[str, str] | None:
    pages = descriptions(root)
    signs = yolo_signs(root) or next(iter(pages), None)
    if signs is None or not (pages or any(walk_images(root))):
        return None
    try:
        yolo.read(root, skip_missing=False)
    except LookcloserError as error:
        hint = error.fix or f"Allowed: {error.allowed or 'a data.yaml, images/ and labels/'}"
        return f"looks like a YOLO data set ({signs}), but {error.what}", hint
    return None


def _yolo_images(root: Path) -> tuple[str, str] | None:
    """The images of a YOLO data set alone, all or those of a split."""
    for folder in (root.absolute(), root.absolute().parent):
        if folder.name == "images" and (folder.parent / "labels").is_dir():
            return (
                "the images of a YOLO data set without their labels",
                f"Give the folder of both, '{folder.parent}'",
            )
    return None


def _table(root: Path) -> tuple[str, str] | None:
    tables = unread_tables(root)
    if not tables:
        return None
    path = root / tables[0].split(" (columns ")[0]
    columns = read_columns(path)
    if not columns:
        return f"a table that cannot be read ({_why_unread(path)})", "Save it as CSV in UTF-8"
    if any(map(is_image_name, columns)):
        return (
            f"a table whose first line is no header but an image ({', '.join(columns[:8])})",
            f"Write a line of names above it in {path.name}, such as image,label",
        )
    image = image_column(columns) or (columns[0] if columns else "NAME")
    other = likely_answer(read_table(path), [column for column in columns if column != image])
    return (
        f"a table without known columns for images and labels: {', '.join(tables)}",
        f"Say what they are, such as --columns image={image},label={other}, or rename them to "
        "image and label",
    )


def _why_unread(table: Path) -> str:
    try:
        read_table(table)
    except LookcloserError as error:
        return error.what
    return f"{table}: it has no header"


def _lists(root: Path) -> tuple[str, str] | None:
    """Lines of an image and its class, as old benchmarks have them, and tables of other forms."""
    for name in other_lists(root):
        if not name.lower().endswith(".txt"):
            return f"a table in a form that is not read ({name})", "Save it as CSV"
        first = _first_lines(root / name)
        if image_column(re.split(_SEPARATORS, first[0].lower())):
            fix = f"Name it {Path(name).stem}.csv"
            return f"a table that is not called so ({name}: '{first[0][:60]}')", fix
        line = next(line for line in first if is_image_name(re.split(_SEPARATORS, line)[0]))
        return (
            f"a list of images without a header ({name}: '{line[:60]}')",
            f"Write it as a table, such as {Path(name).stem}.csv with a first line "
            "image,label and commas between",
        )
    return None


def other_lists(root: Path) -> list[str]:
    """Files directly in a folder that list images, or may, in a form that is not read."""
    with os.scandir(root) as entries:
        names = sorted(e.name for e in entries if not is_hidden(e.name) and leads_to_file(e))
    tables = [name for name in names if name.lower().endswith(_UNREAD_FORMS)]
    texts = [name for name in names if name.lower().endswith(".txt")][:_FEW]
    return tables + [name for name in texts if _lists_images(_first_lines(root / name))]


def _first_lines(path: Path) -> list[str]:
    lines = read_head(path, 2000).decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip()][:_FIRST_LINES]


def _lists_images(lines: list[str]) -> bool:
    """Whether a line is an image and something else, or the first a header of a table."""
    rows = [re.split(_SEPARATORS, line) for line in lines]
    header = [word.lower() for word in rows[0]] if rows else []
    is_header = len(header) > 1 and image_column(header) is not None and has_answer(header)
    return is_header or any(len(row) > 1 and is_image_name(row[0]) for row in rows)


def _named_files(root: Path) -> tuple[str, str] | None:
    """Classes in the names of files: cat.0.jpg beside dog.0.jpg."""
    files = [path.rpartition("/")[2] for path in islice(walk_images(root), _MANY)]
    prefixes: dict[str, list[str]] = {}
    for file in sorted(files):
        match = _NUMBERED.fullmatch(file)
        if match:
            prefixes.setdefault(match[1], []).append(file)
    several = {prefix: names for prefix, names in prefixes.items() if len(names) > 1}
    if not 2 <= len(several) <= _FEW or 2 * sum(map(len, several.values())) < len(files):
        return None
    examples = ", ".join(names[0] for names in list(several.values())[:2])
    return (
        f"images whose classes seem to stand in the names of the files ({examples})",
        f"Move them into folders such as {', '.join(f'{prefix}/' for prefix in list(several)[:2])},"
        " or list them in a table labels.csv with columns image,label",
    )


def _repeated(root: Path) -> tuple[str, str] | None:
    """The same folders in each folder: sessions, folds, or versions of one data set."""
    names = subfolders(root)
    inner = {name: subfolders(root / name) for name in names}
    common = Counter(sub for subs in inner.values() for sub in subs)
    shared = [sub for sub, number in common.items() if number > 1]
    if len(names) < 2 or len(shared) < 2:
        return None
    return (
        f"the same folders ({named(shared)}) in each of {named(names)}",
        f"Give one of them, such as '{root / names[0]}', or name them train, val and test",
    )


def _parts(root: Path) -> tuple[str, str] | None:
    """Folders of kinds of files or of splits, and no classes."""
    names = subfolders(root)
    with_images = [name for name in names if any(walk_images(root / name))]
    if not with_images:
        return None
    splits = [name for name in with_images if split_of(name, names)]
    what = "splits" if splits else "images"
    return f"folders of {what} without classes ({named(with_images)})", _OWN_FOLDERS


def _loose(root: Path) -> tuple[str, str] | None:
    with os.scandir(root) as entries:
        images = sorted(e.name for e in entries if is_image_name(e.name))
    parts = [some(names, "folder")] if (names := subfolders(root)) else []
    found = ", ".join([*parts, f"{count(len(images), 'image')} without labels"])
    return f"no data layout recognized, found {found}", _OWN_FOLDERS


_READINGS: tuple[Callable[[Path], tuple[str, str] | None], ...] = (
    _empty,
    _further_down,
    _yolo,
    _no_images,
    _yolo_images,
    _table,
    _lists,
    _named_files,
    _repeated,
    lambda root: None if _direct(root) else _parts(root),
    _loose,
)


def _direct(root: Path) -> bool:
    with os.scandir(root) as entries:
        return any(is_image_name(entry.name) for entry in entries)


def beside(root: Path) -> Iterator[str]:
    """What lies in a folder of one class that may be the data set that was meant."""
    hint = inner_data_sets(root)
    if hint:
        yield hint
    signs = yolo_signs(root)
    if signs:
        yield f"{signs} (YOLO) are not read"
    yield from (f"{table} is not read" for table in (*unread_tables(root), *other_lists(root)))
