"""What is done already, so that a killed annotation goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lookcloser.annotation.records import Record
from lookcloser.core.errors import LookcloserError
from lookcloser.core.outputs import check_folder
from lookcloser.core.storage.atomic import refused, write_text

JOURNAL = "journal.jsonl"


class Journal:
    """A file with the settings on its first line and one line for each finished image.

    Lines are added whole batches at a time and reach the disk before `add` returns. What a kill
    leaves of a line at the end is cut off when the file is opened again, and done again.

    Args:
        folder: Where the file is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self.settings: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
        if self.path.is_file():
            self._read()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Start with these settings, or go on where the file has the same.

        Raises:
            LookcloserError: If the file was begun with other ones (the difference is named), or
                there are files of somebody else in the folder.
        """
        wanted = json.loads(json.dumps(settings))
        self.check_folder()
        if not self.settings:
            write_text(self.path, json.dumps(wanted) + "\n")
            self.settings = wanted
        different = [key for key in wanted if self.settings.get(key) != wanted[key]]
        if different:
            raise LookcloserError(
                f"{self.path.parent}: was begun with another {different[0]}",
                fix="Choose another --out, or give the same as before",
            )

    def check_folder(self) -> None:
        """Refuse a folder with files of somebody else; one that was begun is gone on with."""
        if not self.settings:
            check_folder(self.path.parent, "--out", besides=(JOURNAL,))

    def add(self, records: Iterable[Record]) -> None:
        """Append finished images.

        Raises:
            LookcloserError: When the operating system refuses, e.g. because the disk is full.
        """
        new = {record.name: record for record in records}
        text = "".join(f"{record.to_line()}\n" for record in new.values())
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise refused(self.path, error, kept="what is done is kept") from error
        self.records |= new

    def _read(self) -> None:
        """Take over what is complete; cut off the rest."""
        whole, _, torn = self.path.read_bytes().rpartition(b"\n")
        if torn:
            with self.path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        lines = whole.decode().splitlines()
        if not lines:
            return
        try:
            self.settings = json.loads(lines[0])
            records = [Record.from_line(line) for line in lines[1:]]
        except ValueError as error:
            raise LookcloserError(
                f"{self.path}: damaged ({error})", fix="Delete it to start over"
            ) from error
        self.records = {record.name: record for record in records}
