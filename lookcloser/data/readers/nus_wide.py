"""NUS-WIDE (Chua et al., 2009): lists of images, and for each of 81 concepts a file of 0 and 1."""

from __future__ import annotations

import posixpath
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import walk_files
from lookcloser.core.wording import count
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, inside, keep_present, read_text
from lookcloser.data.readers.tables.lookup import ImageFinder

_LISTS = {"train": "TrainImagelist.txt", "test": "TestImagelist.txt"}
_PLACES = ("ImageList", "Groundtruth", "TrainTestLabels", "AllLabels")


def recognizes(root: Path) -> bool:
    """A folder with the lists of images, in ImageList/ or not, and files Labels_CONCEPT….txt."""
    if not root.is_dir():
        return False
    marked = any((root / place).is_dir() for place in _PLACES)
    return marked and any(_list(root, name) for name in (*_LISTS.values(), "Imagelist.txt"))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read the images of the lists; every concept with a 1 in its line is a tag.

    Raises:
        LookcloserError: If a file of labels has another number of lines than its list, or a line
            that is neither 0 nor 1, or an image is missing.
    """
    splits = {split: _list(root, name) for split, name in _LISTS.items()}
    lists: dict[str | None, Path] = {split: path for split, path in splits.items() if path}
    if not lists:
        every = _list(root, "Imagelist.txt")
        lists = {None: every} if every else {}
    files, finder = _label_files(root), ImageFinder(root)
    rows, names = [], dict[str, None]()
    for split, path in lists.items():
        listed = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        images = [inside(root, line, path.name)[0] for line in listed]
        found = finder.find(list(dict.fromkeys(images)), split, path.name)
        ending = f"_{split.capitalize()}" if split else ""
        tags: list[list[str]] = [[] for _ in images]
        for concept, file in _concepts(files, ending).items():
            names.setdefault(concept)
            for tagged, on in zip(tags, _column(root / file, len(images)), strict=True):
                if on:
                    tagged.append(concept)
        for number, (image, labels) in enumerate(zip(images, tags, strict=True), 1):
            sample = Sample(found[image], root / found[image], tuple(labels), split=split)
            rows.append(Row(f"{path.name} line {number}", sample))
    samples, skipped = keep_present(rows, skip_missing, root)
    return Catalog(root, "NUS-WIDE", "multilabel", tuple(sorted(names)), samples, skipped)


def _list(root: Path, name: str) -> Path | None:
    places = (root / name, root / "ImageList" / name)
    return next((place for place in places if place.is_file()), None)


def _label_files(root: Path) -> list[str]:
    """The files of labels, in Groundtruth/ or wherever they were unpacked."""
    names = (place for place in _PLACES if (root / place).is_dir())
    return [
        posixpath.join(place, file)
        for place in names
        for file in sorted(walk_files(root / place))
        if posixpath.basename(file).startswith("Labels_") and file.endswith(".txt")
    ]


def _concepts(files: list[str], ending: str) -> dict[str, str]:
    """Concept -> its file for a split, or for all images where ``ending`` is empty."""
    found = {}
    for file in files:
        stem = posixpath.basename(file).removeprefix("Labels_").removesuffix(".txt")
        of_split = stem.endswith(("_Train", "_Test"))
        if stem.endswith(ending) if ending else not of_split:
            found[stem.removesuffix(ending)] = file
    return found


def _column(path: Path, length: int) -> list[bool]:
    lines = read_text(path).split()
    if len(lines) != length:
        raise LookcloserError(f"{path}: {count(len(lines), 'line')} for {count(length, 'image')}")
    wrong = next((line for line in lines if line not in ("0", "1")), None)
    if wrong is not None:
        raise LookcloserError(f"{path}: '{wrong}' is neither 0 nor 1")
    return [line == "1" for line in lines]
