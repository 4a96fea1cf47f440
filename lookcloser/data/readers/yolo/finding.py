"""Which file describes a data set, or, where none does, what its usual folders say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import (
    IMAGE_SUFFIXES,
    is_hidden,
    is_image_name,
    leads_to_file,
    subfolders,
    walk_files,
)
from lookcloser.core.wording import named
from lookcloser.data.readers.files import read_head
from lookcloser.data.readers.folders import split_of
from lookcloser.data.readers.yolo.description import (
    SPLITS,
    Description,
    Part,
    read_names,
    read_page,
)
from lookcloser.data.readers.yolo.paths import find_listed, join, label_of, labels_of
from lookcloser.data.readers.yolo.rows import is_row
from lookcloser.data.readers.yolo.yaml_pages import USUAL, is_page, read_yaml
from lookcloser.data.splits import SPLIT_OF

_NAMES = ("classes.txt", "obj.names", "_darknet.labels")
_MOST_FILES = 20_000


def is_description(path: Path) -> bool:
    """Whether a file is a ``data.yaml`` or Darknet's ``obj.data``, whatever it is called."""
    return is_page(path) or _is_darknet(path)


def describe(root: Path) -> Description:
    """What a data set, or its description, says of itself.

    A YAML file comes before Darknet's ``.data``, this before a list of names.

    Raises:
        LookcloserError: If there is no description and no names of classes, there are several, or
            one is wrong.
    """
    if root.is_file():
        found = read_yaml(root) if is_page(root) else _read_darknet(root)
        return found if found.parts else replace(found, parts=_parts(root.parent, found.where))
    pages = descriptions(root)
    if not pages:
        return _by_names(root)
    chosen = [page for page in pages if page.lower() in USUAL] or pages
    if len(chosen) > 1:
        raise LookcloserError(
            f"several descriptions of the data ({named(pages)})",
            fix=f"Give one of them, such as '{root / chosen[0]}'",
        )
    return describe(root / chosen[0])


def descriptions(root: Path) -> list[str]:
    """The descriptions directly in a folder: those in YAML, else Darknet's."""
    with os.scandir(root) as entries:
        files = sorted(e.name for e in entries if not is_hidden(e.name) and leads_to_file(e))
    pages = [file for file in files if is_page(root / file)]
    return pages or [file for file in files if _is_darknet(root / file)]


def has_rows(root: Path, description: Description) -> bool:
    """Whether a label file beside the images that are described has a row; few files are read."""
    places = (find_listed(root, part.listed, part.where) for part in description.parts)
    return any(
        _rows_beside(root, place) if (root / place).is_dir() else _rows_of_list(root, place)
        for place in dict.fromkeys(places)
        if place is not None
    )


def label_files(root: Path, images: str) -> Iterator[str]:
    """The text files where the labels of a folder of images are, none that names classes."""
    folder = labels_of(images)
    if (root / folder).is_dir():
        files = walk_files(root / folder)
        yield from (
            join(folder, file)
            for file in files
            if file.endswith(".txt") and os.path.basename(file) not in _NAMES
        )


def _rows_beside(root: Path, images: str) -> bool:
    apart = labels_of(images) != images
    for label in islice(label_files(root, images), _MOST_FILES):
        stem = str(root / label)[:-4]
        if (apart or any(os.path.isfile(stem + end) for end in IMAGE_SUFFIXES)) and is_row(
            read_head(root / label, 4096)
        ):
            return True
    return False


def _rows_of_list(root: Path, file: str) -> bool:
    """Whether an image among the first of a list has a label with a row."""
    lines = read_head(root / file).decode("utf-8-sig", "replace").splitlines()
    beside = os.path.dirname(file)
    found = (find_listed(root, line.strip(), file, os.path.isfile, beside) for line in lines)
    return any(is_row(read_head(root / label_of(image), 4096)) for image in found if image)


def _is_darknet(path: Path) -> bool:
    if not path.name.lower().endswith(".data"):
        return False
    return {"names", "train"} <= set(_settings(read_head(path, 4096).decode("utf-8", "replace")))


def _read_darknet(path: Path) -> Description:
    """``obj.data``: lines such as "train = data/train.txt"."""
    text, note = read_page(path)
    settings = _settings(text)
    listed, line = settings["names"]
    found = find_listed(path.parent, listed, f"{path.name} line {line}", os.path.isfile)
    if found is None:
        raise LookcloserError(f"{path.name} line {line}: '{listed}' is not there")
    names, named_so = read_names(path.parent / found)
    parts = [
        Part(split, settings[key][0], f"{path.name} line {settings[key][1]}")
        for key, split in SPLITS.items()
        if key in settings
    ]
    return Description(found, names, tuple(parts)).with_notes(note, named_so)


def _settings(text: str) -> dict[str, tuple[str, int]]:
    """Key -> (value, number of its line) of lines "key = value"."""
    pairs = ((number, *line.partition("=")) for number, line in enumerate(text.splitlines(), 1))
    return {
        key.strip().lower(): (value.strip(), number)
        for number, key, _, value in pairs
        if value.strip() and not key.lstrip().startswith("#")
    }


def _by_names(root: Path) -> Description:
    """Names from a file of names, parts from the usual folders."""
    places = _usual_places(root)
    folders = dict.fromkeys(("", *(labels_of(p) for _, p in places), *(p for _, p in places)))
    with os.scandir(root) as entries:
        own = sorted(e.name for e in entries if e.name.endswith(".names") and leads_to_file(e))
    files = [join(folder, name) for folder in folders for name in _NAMES]
    files = [file for file in files if (root / file).is_file()]
    files += [name for name in own if name not in files]
    if not files:
        raise _nameless(root)
    names, note = read_names(root / files[0])
    others = [file for file in files[1:] if read_names(root / file)[0] != names]
    if others:
        raise LookcloserError(
            f"'{files[0]}' and '{others[0]}' give the classes different names",
            fix="Keep the one that is right",
        )
    return Description(files[0], names, _parts(root, files[0])).with_notes(note)


def _parts(root: Path, where: str) -> tuple[Part, ...]:
    """The usual lists or folders, for a description that names classes only."""
    return tuple(Part(split, place or ".", where) for split, place in _usual_places(root))


def _usual_places(root: Path) -> Sequence[tuple[str | None, str]]:
    """(split, list or folder): train.txt, images/train, train/images, images, else the images."""
    lists = [(split, f"{key}.txt") for key, split in SPLITS.items()]
    there = [(split, name) for split, name in lists if _lists(root / name)]
    if there:
        return there
    names = subfolders(root)
    if {"images", "labels"} <= set(names):
        inner = subfolders(root / "images")
        splits = [(split_of(name, inner), f"images/{name}") for name in inner]
        whole = [(SPLIT_OF.get(root.absolute().name.lower()), "images")]
        return [(split, place) for split, place in splits if split] or whole
    splits = [(split_of(name, names), name) for name in names]
    found = [(split, name) for split, name in splits if split]
    apart = [
        (split, f"{name}/images") for split, name in found if (root / name / "images").is_dir()
    ]
    return apart or found or [(SPLIT_OF.get(root.absolute().name.lower()), "")]


def _lists(path: Path) -> bool:
    """Whether the first line of a file is an image."""
    lines = read_head(path, 4096).decode("utf-8-sig", "replace").split("\n")
    return is_image_name(os.path.basename(lines[0].strip()))


def _nameless(root: Path) -> LookcloserError:
    above = root.absolute().parent
    pages = [name for name in USUAL if (above / name).is_file()]
    if pages:
        fix = f"Give the folder above, '{above}', where {pages[0]} is"
    else:
        fix = (
            "Put the data.yaml that belongs to it there, or a classes.txt with the name of class 0 "
            "in its first line, of class 1 in its second, and so on"
        )
    return LookcloserError("its classes have no names", fix=fix)
