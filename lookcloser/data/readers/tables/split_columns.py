"""Which column of a table is the split, whatever its name, and what its cells say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.tables.delimited import Table
from lookcloser.data.readers.tables.names import plain, usual
from lookcloser.data.readers.tables.places import named_split
from lookcloser.data.splits import SPLIT_OF

ON = frozenset({"1", "1.0", "true", "yes"})
OFF = frozenset({"0", "0.0", "false", "no", "-1", "-1.0"})
_SPLIT = ("split", "set", "subset", "partition", "phase", "usage", "dataset")
# "is_train", "is_training_img", "in_test"; "train" alone may be a class.
_FLAG = re.compile(rf"(?:is|in)({'|'.join(sorted(SPLIT_OF, key=len, reverse=True))})\w*")
# What an image is that is not in the split of its flag, the first that has no flag of its own.
_ELSE = {"train": ("test", "val"), "test": ("train", "val"), "val": ("train", "test")}


@dataclass(frozen=True)
class SplitColumns:
    """How the rows of a table say their split.

    Attributes:
        column: A column of words; None where there are flags.
        flags: Column of yes and no -> the split that yes means.
        rest: The split of a row without a yes.
    """

    column: str | None
    flags: Mapping[str, str]
    rest: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that are read."""
        return (self.column, *self.flags) if self.column else tuple(self.flags)

    def of(self, where: str, cells: Mapping[str, str]) -> str | None:
        """The split of a row; None where its cell is empty.

        Raises:
            LookcloserError: For a word that is no split, and for a yes to two of them.
        """
        if self.column is not None:
            return split_cell(where, cells[self.column])
        yes = [split for flag, split in self.flags.items() if cells[flag].lower() in ON]
        if len(yes) > 1:
            raise LookcloserError(f"{where}: in several splits ({', '.join(yes)})")
        return yes[0] if yes else self.rest


def split_cell(where: str, text: str) -> str | None:
    """The split that a cell names; None for an empty one.

    Raises:
        LookcloserError: For any other word.
    """
    split = _named(text)
    if text and split is None:
        raise LookcloserError(f"{where}: '{text}' is not a split", allowed=f"{', '.join(SPLIT_OF)}")
    return split


def _named(text: str) -> str | None:
    """The split that a cell names, alone or among other words: "Training set", "PublicTest"."""
    return SPLIT_OF.get(text.lower()) or named_split(text)


def split_columns(
    table: Table, chosen: Mapping[str, str], answers: Collection[str]
) -> tuple[SplitColumns | None, str | None]:
    """Where the split stands, and a note if its name does not say so; None where nowhere.

    It is the column ``split``, else one whose every cell is the name of a split, else flags such as
    ``is_train``.

    Args:
        table: With its rows.
        chosen: Role -> column, as the user says.
        answers: Columns that are something else.
    """
    if "split" in chosen or "split" in table.columns:
        return SplitColumns(chosen.get("split", "split"), {}), None
    rest = [column for column in table.columns if column and column not in answers]
    called = usual(rest, _SPLIT)
    for column in dict.fromkeys((*called, *rest)):
        values = {cells[column] for _, cells in table.rows}
        known = _named if column in called else _exactly
        if values and all(map(known, values)):
            return SplitColumns(column, {}), f"{table.path.name}: '{column}' is the split"
    flags = {column: split for column in rest if (split := _flag(table, column)) is not None}
    if not flags or len(set(flags.values())) < len(flags):
        return None, None
    others = [split for split in _ELSE[next(iter(flags.values()))] if split not in flags.values()]
    every = all(any(cells[flag].lower() in ON for flag in flags) for _, cells in table.rows)
    rest_split = None if every else next(iter(others), None)
    said = [f"'{flag}' is {split}" for flag, split in flags.items()]
    said += [f"all else {rest_split}"] if rest_split else []
    return SplitColumns(None, flags, rest_split), f"{table.path.name}: {', '.join(said)}"


def _exactly(text: str) -> str | None:
    return SPLIT_OF.get(text.lower())


def _flag(table: Table, column: str) -> str | None:
    """The split that a column of yes and no is named after."""
    match = _FLAG.fullmatch(plain(column))
    values = {cells[column].lower() for _, cells in table.rows}
    return SPLIT_OF[match[1]] if match and values and values <= ON | OFF else None
