"""The YOLO family's data sets (Redmon et al., 2016; ultralytics): objects are tags with boxes."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import image_size
from lookcloser.core.storage.files import list_images
from lookcloser.core.wording import count, named, some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.masks import MASKS
from lookcloser.data.readers import folders
from lookcloser.data.readers.files import (
    Row,
    inside,
    keep_present,
    plain_path,
    read_head,
    read_text,
)
from lookcloser.data.readers.tables.finding import tables_of
from lookcloser.data.readers.tables.places import named_split
from lookcloser.data.readers.yolo.description import Description, Part
from lookcloser.data.readers.yolo.finding import describe, has_rows, is_description, label_files
from lookcloser.data.readers.yolo.paths import find_listed, join, label_of, labels_of
from lookcloser.data.readers.yolo.rows import RowFindings, is_row, read_rows

_THREADS, _CHUNK = 8, 64


@dataclass
class _Findings:
    """What is told about images and labels of all splits."""

    rows: RowFindings = field(default_factory=RowFindings)
    bare: list[str] = field(default_factory=list)
    unsized: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        yield from self.moved
        yield from self.left
        if self.bare:
            yield f"{some(self.bare, 'image')} without a label file: background, without tags"
        yield from self.rows.notes()
        if self.unsized:
            yield f"{some(self.unsized, 'image')} without a size that can be read: boxes left out"


@dataclass(frozen=True)
class _Place:
    """A folder or list of images that is there, and the splits that name it."""

    path: str
    splits: tuple[str | None, ...]
    where: str

    @property
    def split(self) -> str | None:
        """The split that it is called after, else the first: train and val may be one folder."""
        called = map(named_split, self.path.split("/"))
        return next((split for split in called if split in self.splits), self.splits[0])


def recognizes(root: Path) -> bool:
    """A description, or a folder with names of classes and a row of numbers in a label file."""
    if root.is_file():
        return is_description(root)
    try:
        return has_rows(root, describe(root))
    except LookcloserError:
        return False


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read boxes, oriented boxes, outlines or key points; the class of each object is a tag.

    Images of a split are those of a folder or of a list. One without labels is background, and
    kept without tags; a split of which no image has a label file is left out. Listed paths are
    looked for below ``root`` (the folder of a description) and nowhere else.

    Raises:
        LookcloserError: If nothing says what the classes are called, a split is not there, an image
            is in two splits, a line is wrong, or there is no label or, for a label file, no image.
    """
    base = root.parent if root.is_file() else root
    description, findings = describe(root), _Findings()
    rows = dict[str, Row]()
    for place in _places(base, description, skip_missing, findings):
        images = list(_new_images(base, place, rows))
        rows |= {row.sample.name: row for row in _rows(base, place, images, description, findings)}
    if not rows:
        raise _unlabeled(base)
    rows |= {row.sample.name: row for row in _orphans(base, description, list(rows))}
    samples, skipped = keep_present(rows.values(), skip_missing, base)
    samples = _in_pixels(samples, findings)
    used = {label for sample in samples for label in sample.labels}
    return Catalog(
        root=base,
        layout="YOLO",
        task="multilabel",
        names=tuple(name for name in dict.fromkeys(description.names.values()) if name in used),
        samples=samples,
        skipped=skipped,
        notes=tuple(_notes(base, description, used, findings)),
    )


def _notes(
    base: Path, description: Description, used: set[str], findings: _Findings
) -> Iterator[str]:
    yield from description.notes
    yield from findings.notes()
    unused = [name for name in dict.fromkeys(description.names.values()) if name not in used]
    if unused:
        yield f"Classes without an image are left out: {named(unused)}"
    numbers = defaultdict(list)
    for number, name in description.names.items():
        numbers[name].append(number)
    shared = [name for name, of in numbers.items() if len(of) > 1]
    if shared:
        yield f"Several numbers of one name, read as one class: {named(shared)}"
    tables = [table.relative_to(base).as_posix() for table, _ in tables_of(base)]
    if tables:
        yield f"Not read: {named(tables)}; give one of them to read it instead"


def _places(
    base: Path, description: Description, skip_missing: bool, findings: _Findings
) -> list[_Place]:
    """Folders and lists that are there, each once."""
    found: dict[str, list[Part]] = defaultdict(list)
    lost: list[Part] = []
    for part in description.parts:
        path = find_listed(base, part.listed, part.where)
        if path is None:
            lost.append(part)
            continue
        is_moved = bool(path) and path != plain_path(part.listed, part.where)
        other = next((p for p in found[path] if p.listed != part.listed), None)
        if other is not None and is_moved:
            raise LookcloserError(
                f"{part.where}: '{part.listed}' and '{other.listed}' are both '{path}'",
                fix="Give the folder that has both, or write the paths that are there",
            )
        if is_moved:
            findings.moved.append(f"{part.where}: '{part.listed}' is read as '{path}'")
        found[path].append(part)
    # Test sets are often published without their images, and listed all the same.
    needed = [part for part in lost if part.split != "test"]
    if needed and not (skip_missing and found):
        raise _not_there(base, needed[0], bool(found))
    findings.left += [f"{p.where}: '{p.listed}' is not there: {p.split} left out" for p in lost]
    places = [
        _Place(path, tuple(part.split for part in parts), parts[0].where)
        for path, parts in found.items()
    ]
    for place in places:
        others = [
            split for split in dict.fromkeys(place.splits) if split not in (None, place.split)
        ]
        if others:
            findings.left.append(
                f"{place.where}: {' and '.join(map(str, (place.split, *others)))} are the same "
                f"images ('{place.path}'), read as {place.split}"
            )
    return places


def _new_images(base: Path, place: _Place, rows: Mapping[str, Row]) -> Iterator[tuple[str, str]]:
    """(place, name) of the images that are in no place before."""
    for where, name in _images(base, place):
        if name not in rows:
            yield where, name
        elif rows[name].sample.split != place.split:
            before = rows[name]
            raise LookcloserError(
                f"{where}: '{name}' is in {place.split}, and in {before.sample.split} by "
                f"{before.where}",
                fix="List each image in one split",
            )


def _rows(
    base: Path,
    place: _Place,
    images: Sequence[tuple[str, str]],
    description: Description,
    findings: _Findings,
) -> Iterator[Row]:
    """Images with their labels and, as shares, boxes; none where no image has a label file."""
    split, labels = place.split, [label_of(name) for _, name in images]
    there = [os.path.lexists(base / label) for label in labels]
    # Of a list whose images are not there, that is what is wrong.
    if not any(there) and (not images or any((base / name).is_file() for _, name in images)):
        findings.left.append(
            f"{place.where}: no label file for any of {count(len(images), 'image')} in "
            f"'{place.path}': left out"
        )
        return
    for (where, name), label, has_labels in zip(images, labels, there, strict=True):
        things = (
            read_rows(base / label, label, description.names, description.key_points, findings.rows)
            if has_labels
            else []
        )
        if not has_labels and (base / name).is_file():
            findings.bare.append(name)
        named_things = [(description.names[number], box) for number, box in things]
        sample = Sample(
            name=name,
            source=base / name,
            labels=tuple(dict.fromkeys(label for label, _ in named_things)),
            boxes=tuple((label, box) for label, box in named_things if box is not None),
            split=split,
        )
        yield Row(where, sample)


def _images(base: Path, place: _Place) -> Iterator[tuple[str, str]]:
    """(place, name) of the images in a folder or in a list."""
    if (base / place.path).is_dir():
        for name in list_images(base / place.path):
            if place.path or not name.startswith(f"{MASKS}/"):
                yield place.where, join(place.path, name)
        return
    beside = posixpath.dirname(place.path)
    for number, line in enumerate(read_text(base / place.path).splitlines(), 1):
        listed, where = line.strip(), f"{place.path} line {number}"
        if listed:
            found = find_listed(base, listed, where, os.path.isfile, beside)
            yield where, found or inside(base, listed, where)[0]


def _orphans(base: Path, description: Description, images: list[str]) -> Iterator[Row]:
    """Rows for label files whose image is not there."""
    known = set(map(label_of, images))
    for part in description.parts:
        folder = find_listed(base, part.listed, part.where)
        if folder is None or not (base / folder).is_dir():
            continue
        labels = labels_of(folder)
        for label in label_files(base, folder):
            if label not in known and is_row(read_head(base / label, 4096)):
                known.add(label)
                name = join(folder, posixpath.relpath(label, labels or ".")[:-4])
                yield Row(label, Sample(name, base / name, split=part.split))


def _in_pixels(samples: tuple[Sample, ...], findings: _Findings) -> tuple[Sample, ...]:
    """Boxes that are shares of the image in its pixels; only the headers of images are read."""
    with ThreadPool(min(_THREADS, os.cpu_count() or 1)) as pool:
        scaled = list(pool.imap(_scaled, samples, _CHUNK))
    findings.unsized += [
        before.name
        for before, now in zip(samples, scaled, strict=True)
        if before.boxes and not now.boxes
    ]
    return tuple(scaled)


def _scaled(sample: Sample) -> Sample:
    if not sample.boxes or not isinstance(sample.source, Path):
        return sample
    try:
        width, height = image_size(sample.source)
    except LookcloserError:  # training and `data check` leave it out, and say so
        return replace(sample, boxes=())
    boxes = tuple(
        (label, (x0 * width, y0 * height, x1 * width, y1 * height))
        for label, (x0, y0, x1, y1) in sample.boxes
    )
    return replace(sample, boxes=boxes)


def _not_there(base: Path, part: Part, others: bool) -> LookcloserError:
    file = part.where.partition(" line ")[0]
    return LookcloserError(
        f"{part.where}: '{part.listed}' is not in {base}",
        allowed="Folders and lists of images in that folder: none elsewhere is read",
        fix=f"--skip-missing leaves out {part.split}"
        if others
        else f"Put {file} into the folder that holds the images, and give that folder",
    )


def _unlabeled(base: Path) -> LookcloserError:
    what = f"{base}: no label file beside any image"
    if folders.recognizes(base):
        return LookcloserError(what, fix=f"Its folders are classes: give the folder, '{base}'")
    return LookcloserError(
        what, allowed="labels/train/1.txt for images/train/1.jpg, or 1.txt beside 1.jpg"
    )
