"""Spreadsheets (.xlsx) as rows of text, with openpyxl."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.files import read_bytes
from lookcloser.data.readers.tables.json_rows import Cells, as_text

_MOST_SHEET_BYTES = 256 << 20


def sheet_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """(row number, cells) of every row that is not blank, of the first sheet with several columns.

    Raises:
        LookcloserError: If the file is damaged or too large, or openpyxl is missing.
    """
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
        sheets = ([tuple(map(as_text, row)) for row in sheet.iter_rows(values_only=True)]
                  for sheet in book.worksheets)  # fmt: skip
        rows = next((rows for rows in sheets if max(map(_used, rows), default=0) > 1), [])
    except LookcloserError:
        raise
    except Exception as error:
        # openpyxl raises whatever its parsing of a damaged file runs into.
        raise LookcloserError(f"{path}: not a spreadsheet that can be read: {error}") from error
    width = max(map(_used, rows), default=0)
    yield from ((number, row[:width]) for number, row in enumerate(rows, 1) if any(row))


def _used(row: Cells) -> int:
    return max((number for number, cell in enumerate(row, 1) if cell), default=0)
