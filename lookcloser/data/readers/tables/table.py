"""A table of images: ``image`` with ``label``, ``labels`` or ``caption``.

Optional columns: ``split`` (train, val, test) and ``x0, y0, x1, y1`` (a box in pixels of the image,
x1 and y1 exclusive; several rows of one image give several boxes). Tags in ``labels``, which may
be called ``tags`` too, are separated by ";" or "|". Paths are relative to the folder of the table.
Other usual names of columns, one column a class, and one table a split are read too; see
`columns`. Beside captions there may be tables of the boxes of their words: ``image``, ``word``,
``x0, y0, x1, y1``.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lookcloser.core.choices import Task
from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box
from lookcloser.core.wording import named
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers import folders
from lookcloser.data.readers.files import Row, inside, keep_present
from lookcloser.data.readers.tables.box_columns import CORNERS
from lookcloser.data.readers.tables.cells import boxes_as, read_boxes, tag_splitter
from lookcloser.data.readers.tables.columns import TASKS, Columns, is_on, understand
from lookcloser.data.readers.tables.delimited import (
    Table,
    is_table_name,
    read_columns,
    read_table,
)
from lookcloser.data.readers.tables.finding import (
    NONE,
    all_tables,
    is_plain,
    leads_to_images,
    tables_of,
    with_columns,
)
from lookcloser.data.readers.tables.lookup import ImageFinder
from lookcloser.data.readers.tables.places import image_root, named_split


@dataclass
class _Draft:
    """What the rows of one image have said so far."""

    where: str
    split: str | None
    labels: dict[str, None] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    boxes: list[tuple[str | None, Box]] = field(default_factory=list)


@dataclass(frozen=True)
class _Listing:
    """A table with what its columns are, and the split that its name or folder says."""

    table: Table
    columns: Columns
    split: str | None


def recognizes(root: Path) -> bool:
    """A table, or a folder with tables of images, one or one for each split.

    Beside several class folders, several tables decide nothing, and one whose columns have other
    names than those above decides only if it leads to images. Elsewhere any table with a column
    ``image`` counts: reading it says what is wrong with it.
    """
    if root.is_file():
        return is_table_name(root)
    tables = [path for path, _ in tables_of(root)]
    if len(folders.class_names(root)) < 2:
        return bool(tables)
    return len(tables) == 1 and (is_plain(tables[0]) or leads_to_images(tables[0]))


def read(root: Path, skip_missing: bool, given: Mapping[str, str] = NONE) -> Catalog:
    """Read the table ``root``, or those of images in the folder ``root``.

    Where the images are in class folders too and the table lists some of them with the same labels,
    the folders give labels and splits, and the table the boxes.

    Args:
        root: A table, or a folder.
        skip_missing: Leave out images that are not there.
        given: What columns are, where their names do not say it; see `columns.ROLES`.

    Raises:
        LookcloserError: If there are several tables that are not of one split each, a column is not
            clear, or a row is wrong; the message names the line.
    """
    if root.is_file():
        table = (root, named_split(root.stem))
        return _read_tables(image_root(root), [table], skip_missing, given)
    tables = with_columns(root, given.values()) if given else []
    tables = tables or tables_of(root) or [(path, None) for path in all_tables(root)]
    if not tables:
        raise LookcloserError(f"{root}: no table in this folder")
    if len(tables) == 1:
        tables = [(tables[0][0], tables[0][1] if tables[0][1] == "train" else None)]
    elif len({split for _, split in tables} - {None}) < len(tables):
        names = ", ".join(path.relative_to(root).as_posix() for path, _ in tables)
        raise LookcloserError(f"{root}: several tables of images ({names})", fix="Give one of them")
    listed = _read_tables(root, tables, skip_missing, given)
    if given or listed.task != "classification" or len(folders.class_names(root)) < 2:
        return listed
    return _join(folders.read(root, skip_missing), listed, tables[0][0].name)


def _join(folder: Catalog, listed: Catalog, table: str) -> Catalog:
    """The table where it covers the images or says something else than the folders do."""
    rows = {sample.name: sample for sample in listed.samples}
    labels = {sample.name: sample.labels for sample in folder.samples}
    differs = any(labels.get(name) != sample.labels for name, sample in rows.items())
    if differs or len(rows) == len(labels):
        return listed
    note = (
        f"{table} lists {len(rows)} of {len(labels)} images: "
        "labels and splits are those of the folders, boxes those of the table"
    )
    samples = tuple(
        replace(sample, boxes=rows[sample.name].boxes) if sample.name in rows else sample
        for sample in folder.samples
    )
    return replace(folder, samples=samples, notes=(*folder.notes, note))


def _read_tables(
    root: Path,
    tables: list[tuple[Path, str | None]],
    skip_missing: bool,
    given: Mapping[str, str],
) -> Catalog:
    listings = [
        _Listing(table, understand(table, given), split)
        for table, split in ((read_table(path), split) for path, split in tables)
    ]
    answers = {listing.columns.answer for listing in listings}
    if len(answers) > 1:
        names = ", ".join(path.name for path, _ in tables)
        raise LookcloserError(
            f"{root}: the tables {names} have different columns", fix="Give one of them"
        )
    drafts: dict[str, _Draft] = {}
    notes: list[str] = []
    for listing in listings:
        notes += _fill(drafts, listing, root)
    if answers == {"caption"}:
        _add_words(drafts, root)
    undecided = [draft.where for draft in drafts.values() if draft.split is None]
    if undecided and len(undecided) < len(drafts):
        raise LookcloserError(f"{undecided[0]}: 'split' is empty", fix="Fill it in on every line")
    task = _task(listings[0], drafts, notes)
    rows = (
        Row(
            draft.where,
            Sample(
                name=name,
                source=root / name,
                labels=tuple(draft.labels),
                captions=tuple(draft.captions),
                boxes=tuple(draft.boxes),
                split=draft.split,
            ),
        )
        for name, draft in drafts.items()
    )
    samples, skipped = keep_present(rows, skip_missing, root) if drafts else ((), ())
    classes = tuple(sorted({label for sample in samples for label in sample.labels}))
    said, read = tuple(dict.fromkeys(notes)), tuple(os.path.relpath(t, root) for t, _ in tables)
    return Catalog(root, "table", task, classes, samples, skipped, said, tables=read)


def _task(listing: _Listing, drafts: Mapping[str, _Draft], notes: list[str]) -> Task:
    """Of one column a class: classification where every image has one; see `_add` for labels."""
    answer = listing.columns.answer
    several = next((d for d in drafts.values() if len(d.labels) > 1), None)
    if answer == "one-hot":
        single = all(len(draft.labels) == 1 for draft in drafts.values())
        notes.append(f"{'One class' if single else 'Several or no classes'} an image")
        return "classification" if single else "multilabel"
    if listing.columns.one_label and several is not None:
        notes.append(f"Objects of several classes in one image ({several.where}): read as tags")
        return "multilabel"
    odd = [label for draft in drafts.values() for label in draft.labels if re.search("[;|]", label)]
    if listing.columns.one_label and odd:
        notes.append(f"{named(list(dict.fromkeys(odd)))} is one class; tags stand under 'labels'")
    return TASKS[answer]


def _fill(drafts: dict[str, _Draft], listing: _Listing, root: Path) -> Iterator[str]:
    """Add the rows of a table to the drafts of their images; yields what is to be noted."""
    table, columns = listing.table, listing.columns
    base = image_root(table.path)
    entries = list(_entries(listing, base))
    paths, finder = dict[tuple[str | None, str], str](), ImageFinder(base)
    for split in dict.fromkeys(split for _, _, _, split in entries):
        names = list(dict.fromkeys(name for _, _, name, own in entries if own == split))
        meant = finder.find(names, split or named_split(table.path.stem), table.path.name)
        paths |= {(split, name): path for name, path in meant.items()}
    prefix = "" if base == root else base.relative_to(root).as_posix()
    tags = [cells[next(iter(columns.values))] for _, cells, _, _ in entries
            if columns.answer == "labels"]  # fmt: skip
    split_tags, tag_note = tag_splitter(tags)
    named_files = [(base / paths[split, name], cells) for _, cells, name, split in entries]
    box_kind, box_note = boxes_as(columns, named_files)
    for where, cells, name, split in entries:
        path = posixpath.join(prefix, paths[split, name])
        labels = _labels(where, cells, columns, split_tags)
        draft = drafts.setdefault(path, _Draft(where, split))
        _add(draft, where, path, split, labels, columns)
        if columns.answer == "caption":
            draft.captions.append(_filled(where, cells, next(iter(columns.values))))
        for box in read_boxes(where, cells, columns.box, box_kind):
            draft.boxes.append((labels[0] if len(labels) == 1 else None, box))
    yield from columns.notes
    yield from finder.notes()
    yield from filter(None, (tag_note, box_note))


def _entries(
    listing: _Listing, base: Path
) -> Iterator[tuple[str, dict[str, str], str, str | None]]:
    """(place, cells, name below ``base``, split) of every row."""
    columns = listing.columns
    for line, cells in listing.table.rows:
        where = listing.table.where(line)
        name, _ = inside(base, _filled(where, cells, columns.image), where)
        split = columns.split.of(where, cells) if columns.split else listing.split
        yield where, cells, name, split


def _labels(
    where: str, cells: dict[str, str], columns: Columns, split_tags: object
) -> tuple[str, ...]:
    if columns.answer == "one-hot":
        return tuple(name for name, column in columns.values.items() if is_on(cells[column]))
    column = next(iter(columns.values))
    if columns.answer == "labels":
        assert callable(split_tags)
        return tuple(dict.fromkeys(split_tags(cells[column])))
    return (_filled(where, cells, column),) if columns.one_label else ()


def _add(
    draft: _Draft,
    where: str,
    name: str,
    split: str | None,
    labels: tuple[str, ...],
    columns: Columns,
) -> None:
    """Add the labels of one row to the draft of its image."""
    if draft.split != split:
        raise LookcloserError(
            f"{where}: '{name}' is in another split than at {draft.where}", fix="Keep one of them"
        )
    one = columns.one_label and not columns.box
    if one and draft.labels and labels[0] not in draft.labels:
        raise LookcloserError(
            f"{where}: '{name}' is '{labels[0]}' here, '{next(iter(draft.labels))}' at "
            f"{draft.where}",
            fix="Keep one of them, or put both as 'a;b' into a column 'labels'",
        )
    draft.labels.update(dict.fromkeys(labels))


def _add_words(drafts: dict[str, _Draft], root: Path) -> None:
    """Add the boxes of words from the tables beside the captions."""
    for file in all_tables(root):
        if not {"image", "word", *CORNERS} <= set(read_columns(file)):
            continue
        table = read_table(file)
        listed = [(table.where(line), cells) for line, cells in table.rows]
        names = [inside(root, _filled(where, cells, "image"), where)[0] for where, cells in listed]
        paths = ImageFinder(root).find(list(dict.fromkeys(names)), None, file.name)
        for (where, cells), name in zip(listed, names, strict=True):
            if paths[name] not in drafts:
                raise LookcloserError(
                    f"{where}: '{name}' has no caption", fix="Add one, or remove the row"
                )
            for box in read_boxes(where, cells, CORNERS, "corners"):
                drafts[paths[name]].boxes.append((_filled(where, cells, "word"), box))


def _filled(where: str, cells: dict[str, str], column: str) -> str:
    if not cells[column]:
        raise LookcloserError(f"{where}: '{column}' is empty")
    return cells[column]
