"""Names of columns as people write them, compared without case, blanks and signs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def plain(name: str) -> str:
    """A name of letters and digits alone, in lower case."""
    return re.sub(r"[\W_]+", "", name.lower())


def by_plain_name(columns: Iterable[str]) -> dict[str, str]:
    """Plain name -> the first column that has it."""
    found: dict[str, str] = {}
    for column in columns:
        found.setdefault(plain(column), column)
    return found


def usual(columns: Sequence[str], names: Sequence[str], most: int | None = None) -> list[str]:
    """The columns with one of the usual names, in the order of ``names``; at most ``most``."""
    by_name = by_plain_name(columns)
    return [by_name[name] for name in names if name in by_name][:most]


def is_number(text: str) -> bool:
    """Whether a cell is a plain number."""
    return re.fullmatch(r"-?\d+(\.\d*)?", text) is not None


def is_row_number(column: str) -> bool:
    """Whether a column is the numbers of the rows, as pandas writes them: it has no name."""
    return not column or column.startswith("unnamed: ") or column == "index"
