"""Texts in CSV files that a spreadsheet must not take for formulas.

Names of files and classes come from data, so they may be anybody's: "=HYPERLINK(…)" would run in
the spreadsheet of who opens the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What begins a formula, also behind apostrophes of our own or of the name: only so is it undone.
_FORMULA = re.compile("'*[=+\\-@\t\r]")


def safe_cell(value: Any) -> Any:
    """``value`` as a cell: a text that begins like a formula gets an apostrophe before it.

    That is what spreadsheets themselves write before a text. Numbers stay numbers.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def cell_text(cell: str) -> str:
    """What `safe_cell` has made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def safe_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """`safe_cell` of all cells of rows."""
    return ({name: safe_cell(value) for name, value in row.items()} for row in rows)
