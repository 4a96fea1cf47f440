"""Tables as rows with line numbers: CSV, TSV, JSON and, with openpyxl, spreadsheets.

Python's csv rather than pandas: every cell stays the text it is (a class may be called "007", "NA"
or "True"), and an error can name the line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.cells import cell_text
from lookcloser.data.readers.files import decode_text, read_bytes, read_head
from lookcloser.data.readers.tables.json_rows import Cells, holds_rows, json_lines
from lookcloser.data.readers.tables.sheets import sheet_lines

_JSON_LINES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", *_JSON_LINES, ".json", ".xlsx")
# How many lines above the header may be a title, a comment or blank.
_MOST_ABOVE = 10
_SEPARATOR = re.compile(r"[,;\t|]")

Lines = Iterator[tuple[int, Cells]]


@dataclass(frozen=True)
class Table:
    """A table that has been read whole.

    Attributes:
        path: The file.
        headers: The header as written, stripped.
        rows: (line number from 1, cells by column in lower case, stripped); blank lines are left
            out.
        notes: How the file was read.
    """

    path: Path
    headers: Cells
    rows: tuple[tuple[int, dict[str, str]], ...]
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> Cells:
        """The header in lower case: the keys of the rows."""
        return tuple(header.lower() for header in self.headers)

    def where(self, line: int) -> str:
        """The place of a row as errors name it: "labels.csv line 14"."""
        return f"{self.path.name} line {line}"


def is_table_name(path: Path) -> bool:
    """Whether the file name ends like a table and is not hidden; of .json its beginning decides."""
    if path.suffix.lower() not in TABLE_SUFFIXES or path.name.startswith("."):
        return False
    return path.suffix.lower() != ".json" or holds_rows(path)


def read_columns(path: Path) -> Cells:
    """The header alone, in lower case; () where the file has none that can be read."""
    try:
        suffix = path.suffix.lower()
        if suffix in (".xlsx", ".json"):
            lines, _ = _lines(path)
        else:
            head = read_head(path)
            wide = b"\0" in head[:64]  # UTF-16, of which a line end is two bytes
            whole = head if wide else head[: head.rfind(b"\n") + 1]
            text, _ = decode_text(whole or head, path)
            # Of JSON lines the first, as the last one may be cut.
            lines = _text_lines(path, text.strip().partition("\n")[0] if _is_json(path) else text)
        return tuple(cell.lower() for cell in next(lines, (0, ()))[1])
    except (OSError, LookcloserError):
        return ()


def read_table(path: Path) -> Table:
    """Read a table; the separator (, ; | tab or blanks) of a CSV is taken from its header.

    Text may be UTF-8, UTF-16, UTF-32 or Windows-1252. Titles, comments (#) and Excel's "sep=;"
    above the header are passed over.

    Raises:
        LookcloserError: If the file is no text, too large, empty, has a column twice, a row with
            more cells than the header, or quotes that do not end; for a spreadsheet, if it is
            damaged or openpyxl is missing.
    """
    lines, note = _lines(path)
    _, headers = next(lines, (0, ()))
    columns = [header.lower() for header in headers]
    if not headers:
        raise LookcloserError(f"{path}: the table is empty")
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise LookcloserError(f"{path}: column '{twice[0]}' comes twice")
    rows = tuple((line, _row(path, line, columns, row)) for line, row in lines)
    return Table(path, headers, rows, (note,) if note else ())


def _lines(path: Path) -> tuple[Lines, str | None]:
    """(line, cells) of the header and of every row that is not blank, and how it was read."""
    if path.suffix.lower() == ".xlsx":
        return _without_titles(sheet_lines(path)), None
    text, note = decode_text(read_bytes(path), path)
    return _text_lines(path, text), note


def _is_json(path: Path) -> bool:
    return path.suffix.lower() in (".json", *_JSON_LINES)


def _text_lines(path: Path, text: str) -> Lines:
    return json_lines(path, text) if _is_json(path) else _without_titles(_cells(path, text))


def _without_titles(lines: Lines) -> Lines:
    """Without what is above the header: lines of a first cell alone, over such of several."""
    first = list(islice(lines, _MOST_ABOVE))
    header = next((i for i, (_, cells) in enumerate(first) if any(cells[1:])), 0)
    # A row with less than the header has is one of an empty cell.
    return chain(first[header:], lines)


def _cells(path: Path, text: str) -> Lines:
    above, told = _above(text)
    first = [line for line in text.split("\n", above + _MOST_ABOVE)[above:] if line.strip()]
    head = next((line for line in first if _SEPARATOR.search(line)), first[0] if first else "")
    # What stands in quotes separates nothing.
    separator = told or max(",;\t|", key=re.sub(r'"[^"]*"', "", head).count)
    rest = text.split("\n", above)[-1]
    if separator not in head and len(head.split()) > 1:  # columns between blanks
        lines = enumerate(rest.split("\n"), above + 1)
        yield from ((number, tuple(line.split())) for number, line in lines if line.strip())
        return
    # strict: quotes in the wrong place are an error instead of a row that swallows the next ones.
    stream = io.StringIO(rest, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=True)
    before = above
    try:
        for cells in reader:
            line, before = before + 1, above + reader.line_num
            stripped = tuple(cell_text(cell.strip()) for cell in cells)
            if any(stripped):
                yield line, stripped
    except csv.Error as error:
        raise LookcloserError(f"{path.name} line {before + 1}: not a row: {error}") from error


def _above(text: str) -> tuple[int, str | None]:
    """How many lines stand above the header and its titles, and the separator that they tell."""
    told = None
    for number, line in enumerate(text.split("\n", _MOST_ABOVE)[:_MOST_ABOVE]):
        found = re.fullmatch(r"sep=(.)", line.strip() or "-", re.IGNORECASE)
        told = found[1] if found else told
        is_title = not _SEPARATOR.search(line) and _SEPARATOR.search(text)
        if not (found or not line.strip() or (line.startswith("#") and is_title)):
            return number, told
    return 0, told


def _row(path: Path, line: int, columns: list[str], cells: Cells) -> dict[str, str]:
    if len(cells) > len(columns):
        raise LookcloserError(
            f"{path.name} line {line}: {len(cells)} cells under {len(columns)} columns",
            fix='Quote cells that contain the separator: "a, b"',
        )
    return {column: cells[i] if i < len(cells) else "" for i, column in enumerate(columns)}
