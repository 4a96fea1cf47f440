"""Tables as rows with line numbers: CSV, TSV, JSON lines and, with openpyxl, spreadsheets.

Python's csv rather than pandas: every cell stays the text it is (a class may be called "007", "NA"
or "True"), and an error can name the line.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.files import decode_text, read_bytes, read_head

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".xlsx")
_MOST_SHEET_BYTES = 256 << 20

Cells = tuple[str, ...]


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
    """Whether the file name ends like a table and is not hidden."""
    return path.suffix.lower() in TABLE_SUFFIXES and not path.name.startswith(".")


def read_columns(path: Path) -> Cells:
    """The header alone, in lower case; () where the file has none that can be read."""
    try:
        if path.suffix.lower() == ".xlsx":
            lines, _ = _lines(path)
        else:
            head = read_head(path)
            wide = b"\0" in head[:64]  # UTF-16, of which a line end is two bytes
            whole = head[: len(head) // 2 * 2] if wide else head[: head.rfind(b"\n") + 1]
            text, _ = decode_text(whole or head, path)
            lines = _text_lines(path, text.partition("\n")[0])
        return tuple(cell.lower() for cell in next(lines, (0, ()))[1])
    except (OSError, LookcloserError):
        return ()


def read_table(path: Path) -> Table:
    """Read a table; the separator (comma, semicolon, tab) of a CSV is taken from its header.

    Text may be UTF-8, UTF-16 or Windows-1252.

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


def _lines(path: Path) -> tuple[Iterator[tuple[int, Cells]], str | None]:
    """(line, cells) of the header and of every row that is not blank, and how it was read."""
    if path.suffix.lower() == ".xlsx":
        return _sheet_lines(path), None
    text, note = decode_text(read_bytes(path), path)
    return _text_lines(path, text), note


def _text_lines(path: Path, text: str) -> Iterator[tuple[int, Cells]]:
    lines = _json_lines if path.suffix.lower() == ".jsonl" else _cells
    return lines(path, text)


def _cells(path: Path, text: str) -> Iterator[tuple[int, Cells]]:
    # What stands in quotes separates nothing.
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    separator = max(",;\t", key=header.count)
    # strict: quotes in the wrong place are an error instead of a row that swallows the next ones.
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=True)
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            stripped = tuple(cell.strip() for cell in cells)
            if any(stripped):
                yield line, stripped
    except csv.Error as error:
        raise LookcloserError(f"{path.name} line {before + 1}: not a row: {error}") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Cells]]:
    """One object a line; all have the columns that occur in any."""
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LookcloserError(f"{path.name} line {number}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise LookcloserError(f"{path.name} line {number}: not a JSON object")
        records.append((number, record))
    columns = list(dict.fromkeys(key for _, record in records for key in record))
    if columns:
        yield 0, tuple(column.strip() for column in columns)
    for number, record in records:
        yield number, tuple(_text(record.get(column)) for column in columns)


def _text(value: object) -> str:
    """A value of JSON or of a spreadsheet as the text that a CSV would have."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).strip()


def _sheet_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """The rows of the first sheet."""
    if importlib.util.find_spec("openpyxl") is None:
        raise LookcloserError(
            f"{path}: spreadsheets are not read without openpyxl",
            fix="`pip install 'lookcloser[xlsx]'`, or save it as CSV",
        )
    import openpyxl

    content = io.BytesIO(read_bytes(path))
    try:
        with zipfile.ZipFile(content) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MOST_SHEET_BYTES:
            raise LookcloserError(f"{path}: {size:,} bytes unpacked; at most {_MOST_SHEET_BYTES:,}")
        book = openpyxl.load_workbook(content, read_only=True, data_only=True)
        rows = [tuple(map(_text, row)) for row in book.worksheets[0].iter_rows(values_only=True)]
    except LookcloserError:
        raise
    except Exception as error:
        # openpyxl raises whatever its parsing of a damaged file runs into.
        raise LookcloserError(f"{path}: not a spreadsheet that can be read: {error}") from error
    width = max(map(_used, rows), default=0)
    yield from ((number, row[:width]) for number, row in enumerate(rows, 1) if any(row))


def _used(row: Cells) -> int:
    return max((number for number, cell in enumerate(row, 1) if cell), default=0)


def _row(path: Path, line: int, columns: list[str], cells: Cells) -> dict[str, str]:
    if len(cells) > len(columns):
        raise LookcloserError(
            f"{path.name} line {line}: {len(cells)} cells under {len(columns)} columns",
            fix='Quote cells that contain the separator: "a, b"',
        )
    return {column: cells[i] if i < len(cells) else "" for i, column in enumerate(columns)}
