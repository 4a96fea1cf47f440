"""A table of images: ``image`` with ``label``, ``labels`` or ``caption``, in CSV or TSV.

Optional columns: ``split`` (train, val, test) and ``x0, y0, x1, y1`` (a box in pixels of the image,
x1 and y1 exclusive; several rows of one image give several boxes). Tags in ``labels``, which may
be called ``tags`` too, are separated by ";" or "|". Paths are relative to the folder of the table.
Beside captions there may be tables of the boxes of their words: ``image``, ``word``, ``x0, y0, x1,
y1``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box, Task
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers import folders
from lookcloser.data.readers.delimited import Table, is_table_name, read_columns, read_table
from lookcloser.data.readers.files import Row, inside, keep_present
from lookcloser.data.splits import SPLIT_OF

_BOX = ("x0", "y0", "x1", "y1")
_TASKS: dict[str, Task] = {
    "label": "classification",
    "labels": "multilabel",
    "tags": "multilabel",
    "caption": "captioning",
}
_ANSWERS = "'label', 'labels' (or 'tags') or 'caption'"


@dataclass
class _Draft:
    """What the rows of one image have said so far."""

    where: str
    path: Path
    split: str | None
    labels: dict[str, None] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    boxes: list[tuple[str | None, Box]] = field(default_factory=list)


def recognises(root: Path) -> bool:
    """A table, or a folder with a table that has a column ``image`` and an answer.

    Beside several class folders, several tables decide nothing. Elsewhere any table with a column
    ``image`` counts: reading it says what is wrong with it.
    """
    if root.is_file():
        return is_table_name(root)
    tables = _tables(root)
    clear = len(tables) == 1 and _has_answer(tables[0])
    return clear or (bool(tables) and len(folders.class_names(root)) < 2)


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read the table ``root``, or the only one with a column ``image`` in the folder ``root``.

    Where the images are in class folders too and the table lists some of them with the same labels,
    the folders give labels and splits, and the table the boxes.

    Raises:
        LookcloserError: If there are several tables, a column is missing, or a row is wrong; the
            message names the line.
    """
    if root.is_file():
        return _read_table(root, skip_missing)
    tables = _tables(root)
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables)
        raise LookcloserError(f"{root}: several tables of images ({names})", fix="Give one of them")
    listed = _read_table(tables[0], skip_missing)
    if listed.task != "classification" or len(folders.class_names(root)) < 2:
        return listed
    return _join(folders.read(root, skip_missing), listed, tables[0].name)


def _tables(root: Path) -> list[Path]:
    """The tables of images in a folder: those with an answer, else those without."""
    files = sorted(path for path in root.iterdir() if is_table_name(path) and path.is_file())
    tables = [path for path in files if "image" in read_columns(path)]
    return [table for table in tables if _has_answer(table)] or tables


def _has_answer(table: Path) -> bool:
    return not set(_TASKS).isdisjoint(read_columns(table))


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


def _read_table(path: Path, skip_missing: bool) -> Catalog:
    table = read_table(path)
    answer = _answer_column(table)
    drafts: dict[str, _Draft] = {}
    for line, cells in table.rows:
        _add(drafts, table.where(line), cells, answer, path.parent)
    if answer == "caption":
        _add_words(drafts, path.parent)
    undecided = [draft.where for draft in drafts.values() if draft.split is None]
    if undecided and len(undecided) < len(drafts):
        raise LookcloserError(f"{undecided[0]}: 'split' is empty", fix="Fill it in on every line")
    rows = (
        Row(
            draft.where,
            Sample(
                name=name,
                source=draft.path,
                labels=tuple(draft.labels),
                captions=tuple(draft.captions),
                boxes=tuple(draft.boxes),
                split=draft.split,
            ),
        )
        for name, draft in drafts.items()
    )
    samples, skipped = keep_present(rows, skip_missing, path.parent)
    names = tuple(sorted({label for sample in samples for label in sample.labels}))
    return Catalog(path.parent, "table", _TASKS[answer], names, samples, skipped)


def _answer_column(table: Table) -> str:
    found = f"columns found: {', '.join(table.columns)}"
    answers = [column for column in _TASKS if column in table.columns]
    if "image" not in table.columns or not answers:
        lacking = "'image'" if "image" not in table.columns else _ANSWERS
        raise LookcloserError(
            f"{table.path}: no column {lacking}; {found}",
            allowed=f"A table has 'image' and {_ANSWERS}.",
        )
    if len(answers) > 1:
        both = " and ".join(f"'{column}'" for column in answers)
        raise LookcloserError(
            f"{table.path}: columns {both}; the task follows from one", fix="Keep one of them"
        )
    if 0 < len(set(_BOX) & set(table.columns)) < len(_BOX):
        raise LookcloserError(f"{table.path}: a box needs columns {', '.join(_BOX)}; {found}")
    return answers[0]


def _add(
    drafts: dict[str, _Draft], where: str, cells: dict[str, str], answer: str, root: Path
) -> None:
    """Add one row to the draft of its image."""
    if not cells["image"]:
        raise LookcloserError(f"{where}: 'image' is empty")
    name, path = inside(root, cells["image"], where)
    split = _split(where, cells.get("split", ""))
    draft = drafts.setdefault(name, _Draft(where, path, split))
    if draft.split != split:
        raise LookcloserError(
            f"{where}: '{name}' is in another split than at {draft.where}", fix="Keep one of them"
        )
    labels: tuple[str, ...] = ()
    if answer == "caption":
        draft.captions.append(_filled(where, cells, "caption"))
    elif _TASKS[answer] == "multilabel":
        labels = tuple(filter(None, map(str.strip, re.split(r"[;|]", cells[answer]))))
    else:
        labels = (_filled(where, cells, "label"),)
        if draft.labels and labels[0] not in draft.labels:
            raise LookcloserError(
                f"{where}: '{name}' is '{labels[0]}' here, '{next(iter(draft.labels))}' at "
                f"{draft.where}",
                fix="Keep one of them, or put both as 'a;b' into a column 'labels'",
            )
    draft.labels.update(dict.fromkeys(labels))
    box = _box(where, cells)
    if box:
        draft.boxes.append((labels[0] if len(labels) == 1 else None, box))


def _add_words(drafts: dict[str, _Draft], root: Path) -> None:
    """Add the boxes of words from the tables beside the captions."""
    for file in sorted(filter(is_table_name, root.iterdir())):
        if not {"image", "word", *_BOX} <= set(read_columns(file)):
            continue
        table = read_table(file)
        for line, cells in table.rows:
            where = table.where(line)
            name, _ = inside(root, _filled(where, cells, "image"), where)
            if name not in drafts:
                raise LookcloserError(
                    f"{where}: '{name}' has no caption", fix="Add one, or remove the row"
                )
            box = _box(where, cells)
            if box:
                drafts[name].boxes.append((_filled(where, cells, "word"), box))


def _filled(where: str, cells: dict[str, str], column: str) -> str:
    if not cells[column]:
        raise LookcloserError(f"{where}: '{column}' is empty")
    return cells[column]


def _split(where: str, text: str) -> str | None:
    if text and text.lower() not in SPLIT_OF:
        raise LookcloserError(f"{where}: '{text}' is not a split", allowed=f"{', '.join(SPLIT_OF)}")
    return SPLIT_OF[text.lower()] if text else None


def _box(where: str, cells: dict[str, str]) -> Box | None:
    texts = [cells.get(column, "") for column in _BOX]
    if not any(texts):
        return None
    try:
        x0, y0, x1, y1 = (float(text) for text in texts)
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    # Written so that NaN fails too.
    if not (-math.inf < x0 < x1 < math.inf and -math.inf < y0 < y1 < math.inf):
        raise LookcloserError(
            f"{where}: {', '.join(texts)} is not a box", allowed="Numbers x0 < x1 and y0 < y1"
        )
    return x0, y0, x1, y1
