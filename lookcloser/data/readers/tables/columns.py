"""Which column of a table says what: the usual names, one column a class, and the user's word.

What is not clear is refused with a sentence that names the columns: a table that is read wrongly
trains on the wrong classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.wording import named
from lookcloser.data.readers.tables.box_columns import CORNERS, BoxKind, box_columns
from lookcloser.data.readers.tables.delimited import Table
from lookcloser.data.readers.tables.lookup import column_of_files
from lookcloser.data.readers.tables.names import is_number, is_row_number, usual
from lookcloser.data.readers.tables.split_columns import OFF, ON, SplitColumns, split_columns

ROLES = ("image", "label", "labels", "caption", "split", "x0", "y0", "x1", "y1", "bbox")
TASKS: dict[str, Task] = {
    "label": "classification",
    "labels": "multilabel",
    "tags": "multilabel",
    "caption": "captioning",
}
_ANSWERS = "'label', 'labels' (or 'tags') or 'caption'"
# Names without blanks, dashes and underscores, the clearest first.
_IMAGE = (
    *("image", "filename", "filepath", "imagepath", "imgpath", "imagefile", "imagefilename"),
    *("imagename", "imgname", "imgfile", "file", "path", "img", "picture", "photo", "imageid"),
    *("imgid", "photoid", "imageindex", "fname", "filenames", "imagefilepath", "id"),
)
_LABEL = (
    *("label", "class", "category", "species", "breed", "classname", "categoryname", "labelname"),
    *("speciesname", "classlabel", "target", "diagnosis", "dx", "disease", "variety", "cultivar"),
    *("groundtruth", "classid", "categoryid", "labelid"),
)
_LABELS = ("labels", "tags", "keywords", "categories", "classes", "findinglabels")
_CAPTION = ("caption", "text", "description", "sentence")
_YES = ON | {"x", "y", "t", "✓", "✔"}
_NO = OFF | {"", "n", "f"}


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are, by their keys in its rows.

    Attributes:
        image: The file.
        answer: "label", "labels", "caption", or "one-hot" where every class has a column.
        values: The column of the answer, or those of the classes, by the name of the class.
        split: The columns of the split, where there are some.
        box: Four columns of a box, or one that lists it; () without boxes.
        box_kind: What ``box`` holds.
        notes: What was not plain, in sentences.
    """

    image: str
    answer: Literal["label", "labels", "caption", "one-hot"]
    values: Mapping[str, str]
    split: SplitColumns | None
    box: tuple[str, ...]
    box_kind: BoxKind | None
    notes: tuple[str, ...]

    @property
    def one_label(self) -> bool:
        """Whether a row names the one label of an image."""
        return self.answer != "one-hot" and TRAITS[TASKS[self.answer]].labels == "one"


def image_column(columns: Sequence[str]) -> str | None:
    """The column that names the file; the clearest of the usual names."""
    return next(iter(usual(columns, _IMAGE, 1)), None)


def has_answer(columns: Sequence[str]) -> bool:
    """Whether a column is called as a label, tags or a caption usually are."""
    return bool(usual(columns, (*_LABEL, *_LABELS, *_CAPTION)))


def understand(table: Table, given: Mapping[str, str]) -> Columns:
    """Find out what the columns are.

    Args:
        table: With its rows.
        given: Role (see `ROLES`) -> column, as the user says; it wins over every name.

    Raises:
        LookcloserError: If the image or the answer is not clear; names the columns and how to tell.
    """
    chosen = _given(table, given)
    found = f"columns found: {', '.join(table.columns)}"
    image = chosen.get("image") or image_column(table.columns) or column_of_files(table)
    if image is None:
        raise LookcloserError(
            f"{table.path}: no column 'image'; {found}",
            allowed=f"A table has 'image' and {_ANSWERS}.",
            fix="Say which it is: --columns image=NAME,label=NAME",
        )
    box, kind = box_columns(table, chosen)
    plainly = {image, *box, *chosen.values(), *(name for name in TASKS if name in table.columns)}
    split, split_note = split_columns(table, chosen, plainly)
    known = {image, *(split.columns if split else ()), *box}
    answer, values = _answer(table, chosen, known, found)
    unread = [c for c in table.columns if c and c not in known and c not in values.values()]
    notes = [*table.notes, *_said(table, image, answer, values, box)]
    notes += [split_note] if split_note else []
    notes += [f"{table.path.name}: columns not read: {named(unread)}"] if unread else []
    return Columns(image, answer, values, split, box, kind, tuple(notes))


def _given(table: Table, given: Mapping[str, str]) -> dict[str, str]:
    chosen = {}
    for role, name in given.items():
        if role not in ROLES:
            raise UsageError(f"{role}: unknown role of a column", allowed=", ".join(ROLES))
        if name.strip().lower() not in table.columns:
            raise UsageError(
                f"{table.path}: no column '{name}'", fix=f"There are: {', '.join(table.headers)}"
            )
        chosen[role] = name.strip().lower()
    return chosen


def _answer(
    table: Table, chosen: Mapping[str, str], known: Collection[str | None], found: str
) -> tuple[Literal["label", "labels", "caption", "one-hot"], dict[str, str]]:
    rest = [c for c in table.columns if c not in known and not is_row_number(c)]
    answers = {role: chosen[role] for role in ("label", "labels", "caption") if role in chosen}
    if not answers:
        exact = [column for column in TASKS if column in rest]
        if len(exact) > 1:
            both = " and ".join(f"'{column}'" for column in exact)
            raise LookcloserError(
                f"{table.path}: columns {both}; the task follows from one",
                fix=f"Keep one of them, or say which: --columns {exact[0]}={exact[0]}",
            )
        names_of = {"label": _LABEL, "labels": _LABELS, "caption": _CAPTION}
        several = {role: usual(rest, names) for role, names in names_of.items()}
        if exact:
            role = "labels" if exact[0] == "tags" else exact[0]
            several = {role: exact}
        answers = {role: _one(table, columns) for role, columns in several.items() if columns}
    if len(answers) > 1:
        raise LookcloserError(
            f"{table.path}: columns {named(list(answers.values()))} may be the answer; the task "
            "follows from one",
            fix="Say which: " + " or ".join(f"--columns {r}={c}" for r, c in answers.items()),
        )
    for role, column in answers.items():
        return role, {column: column}  # type: ignore[return-value]
    classes = _one_hot(table, rest)
    if classes:
        return "one-hot", classes
    words = _words(table, rest)
    if len(rest) == len(words) == 1:
        return "label", {words[0]: words[0]}
    likely = likely_answer(table, rest)
    raise LookcloserError(
        f"{table.path}: no column {_ANSWERS}; {found}",
        allowed=f"A table has 'image' and {_ANSWERS}.",
        fix=f"Say which it is, such as --columns label={likely}",
    )


def _one(table: Table, columns: Sequence[str]) -> str:
    """Of several columns that may be the label the one in words, if they say the same."""
    if len(columns) == 1:
        return columns[0]
    first, *others = columns
    for other in others:
        pairs = {(cells[first], cells[other]) for _, cells in table.rows}
        if not len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}):
            raise LookcloserError(
                f"{table.path}: columns {named(columns)} may be the label, and differ",
                fix=f"Say which: --columns label={first}",
            )
    words = (c for c in columns if not all(is_number(cells[c]) for _, cells in table.rows))
    return next(words, first)


def likely_answer(table: Table, columns: Sequence[str]) -> str:
    """The column that an error offers as the label; "NAME" where there is none."""
    return next(iter((*_words(table, columns), *columns)), "NAME")


def _words(table: Table, columns: Sequence[str]) -> list[str]:
    """The columns that may be a label by what is in them: words, of which some come again."""
    found = []
    for column in columns:
        values = [cells[column] for _, cells in table.rows if cells[column]]
        is_list = any(value.startswith(("{", "[")) for value in values)
        again = 1 < len(set(values)) < len(values)
        if again and not is_list and not all(map(is_number, values)):
            found.append(column)
    return found


def _one_hot(table: Table, rest: Sequence[str]) -> dict[str, str]:
    """Class -> column where at least two columns say yes or no on every row.

    All of them, or beside columns of numbers (a width, a fold, an age) if every image has exactly
    one, or if they are more than twice as many: a few yes and no alone may be about anything.
    """
    used = {column: {cells[column].lower() for _, cells in table.rows} for column in rest}
    others = [column for column, values in used.items() if not values <= _YES | _NO]
    rest = [column for column in rest if column not in others and used[column] != {""}]
    used = {column: used[column] for column in rest}
    numbers = all(is_number(c[other]) for other in others for _, c in table.rows if c[other])
    single = all(sum(is_on(cells[column]) for column in rest) == 1 for _, cells in table.rows)
    both = not others or (numbers and (single or len(rest) > 2 * len(others)))
    signs = {value.removesuffix(".0") for values in used.values() for value in values}
    if len(rest) < 2 or not table.rows or not both or not signs & _YES:
        return {}
    if {"0", "-1"} <= signs:
        raise LookcloserError(
            f"{table.path}: 0, 1 and -1 below the classes: -1 may mean 'not known'",
            fix="Replace -1 by 0 or 1",
        )
    return {
        header: column
        for header, column in zip(table.headers, table.columns, strict=True)
        if column in rest
    }


def is_on(cell: str) -> bool:
    """Whether a cell below a class says that the image is of it."""
    return cell.lower() in _YES


def _said(
    table: Table, image: str, answer: str, values: Mapping[str, str], box: tuple[str, ...]
) -> list[str]:
    """What was taken for what, where the names are not the plain ones."""
    said = [f"'{image}' is the image"] if image != "image" else []
    if answer == "one-hot":
        said.append(f"{len(values)} columns are classes")
    elif next(iter(values)) not in TASKS:
        said.append(f"'{next(iter(values))}' is the {answer}")
    said += [f"{', '.join(box)} are boxes"] if box and box != CORNERS else []
    return [f"{table.path.name}: {', '.join(said)}"] if said else []
