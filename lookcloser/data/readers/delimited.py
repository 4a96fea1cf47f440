"""CSV and TSV files as rows with line numbers.

Python's csv rather than pandas: every cell stays the text it is (a class may be called "007", "NA"
or "True"), and an error can name the line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.files import read_text

TABLE_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Table:
    """A table that has been read whole.

    Attributes:
        path: The file.
        columns: The header, in lower case, stripped.
        rows: (line number from 1, cells by column, stripped); blank lines are left out.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def where(self, line: int) -> str:
        """The place of a row as errors name it: "labels.csv line 14"."""
        return f"{self.path.name} line {line}"


def is_table_name(path: Path) -> bool:
    """Whether the file name ends like a table and is not hidden."""
    return path.suffix.lower() in TABLE_SUFFIXES and not path.name.startswith(".")


def read_columns(path: Path) -> tuple[str, ...]:
    """The header alone, in lower case; () where the file has none that can be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline(1 << 16)
        return next(_cells(path, head), (0, ()))[1]
    except (OSError, UnicodeDecodeError, LookcloserError):
        return ()


def read_table(path: Path) -> Table:
    """Read a CSV or TSV file; the separator (comma, semicolon, tab) is taken from the header.

    Raises:
        LookcloserError: If the file is not UTF-8 text, too large, empty, has a column twice, a row
            with more cells than the header, or quotes that do not end.
    """
    lines = _cells(path, read_text(path))
    _, columns = next(lines, (0, ()))
    if not columns:
        raise LookcloserError(f"{path}: the table is empty")
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise LookcloserError(f"{path}: column '{twice[0]}' comes twice")
    return Table(
        path, columns, tuple((line, _row(path, line, columns, row)) for line, row in lines)
    )


def _cells(path: Path, text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line, cells) of the header, in lower case, and of every row that is not blank."""
    separator = max(",;\t", key=text.partition("\n")[0].count)
    # strict: quotes in the wrong place are an error instead of a row that swallows the next ones.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    before, first = 0, True
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            stripped = tuple(cell.strip() for cell in cells)
            if any(stripped):
                yield line, tuple(cell.lower() for cell in stripped) if first else stripped
                first = False
    except csv.Error as error:
        raise LookcloserError(f"{path.name} line {before + 1}: not a row: {error}") from error


def _row(path: Path, line: int, columns: tuple[str, ...], cells: tuple[str, ...]) -> dict[str, str]:
    if len(cells) > len(columns):
        raise LookcloserError(
            f"{path.name} line {line}: {len(cells)} cells under {len(columns)} columns",
            fix='Quote cells that contain the separator: "a, b"',
        )
    return {column: cells[i] if i < len(cells) else "" for i, column in enumerate(columns)}
