"""The folder of the answers: one file for each part, and what is half done.

``part-000012-DIGEST.jsonl`` is part 12, whole. The digest is that of the names of its images, so a
part that is there answers for exactly these. Beside the parts stand ``batch.json`` (the settings)
and a list of the finished parts; ``.work`` has the lines of parts that are being answered. Whoever
answers a part writes to a file of its own there: one that was thought dead and is not does no harm.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from lookcloser.batch.forms import Form
from lookcloser.batch.sources import Part
from lookcloser.core.errors import LookcloserError
from lookcloser.core.outputs import check_folder
from lookcloser.core.storage.atomic import make_folder, refused, replacing, write_text
from lookcloser.core.storage.locks import LOCK_FILE

SETTINGS = "batch.json"
WORK = ".work"
_PART = re.compile(r"part-(\d{6,})-([0-9a-f]{12})(\.\w+)")
_LEFT_OVER = ".lookcloser-*.tmp"


class Finished(NamedTuple):
    """A part that was written: its number, its images, and how many could not be read."""

    number: int
    images: int
    failed: int


class Folder:
    """Where the answers go; several processes and machines may work in it at the same time.

    Args:
        path: The folder.
        form: How parts are written.
    """

    def __init__(self, path: Path, form: Form) -> None:
        self.path, self.form, self.work = path, form, path / WORK

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Start with these settings, or go on where the folder has the same.

        Raises:
            LookcloserError: If it was begun with other ones (the difference is named), or somebody
                else's files are in it.
        """
        file = self.path / SETTINGS
        self.check(settings)
        if not file.exists():
            write_text(file, json.dumps(settings, indent=1) + "\n")
            self.check(settings)  # another process may have begun at the same time
        make_folder(self.work)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse what `begin` refuses, and write nothing."""
        file, wanted = self.path / SETTINGS, json.loads(json.dumps(settings))
        if not file.exists():
            # Several processes may begin at the same time: what they leave on the way is nobody's.
            besides = [entry.name for entry in _listed(self.path) if _is_own(entry.name)]
            check_folder(self.path, "--out", besides)
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            different = [key for key in wanted if found.get(key) != wanted[key]]
        except (OSError, ValueError, AttributeError) as error:
            raise LookcloserError(
                f"{file}: cannot be read ({error})", fix="Choose another --out"
            ) from error
        if different:
            key = different[0]
            raise LookcloserError(
                f"{self.path}: was begun with another {key} ({found.get(key)}, now {wanted[key]})",
                fix="Choose another --out, or give the same as before",
            )

    def file(self, part: Part) -> Path:
        """Where a part is, or will be."""
        return self.path / f"{_stem(part)}{self.form.suffix}"

    def counted(self, number: int, digest: str) -> Finished:
        """A part that is there, by what is in it."""
        file = self.path / f"{_name(number, digest)}{self.form.suffix}"
        return Finished(number, *self.form.counts(file))

    def digests(self) -> dict[int, str]:
        """The digests of the parts that are there, by number."""
        found = (_PART.fullmatch(entry.name) for entry in _listed(self.path))
        return {int(one[1]): one[2] for one in found if one and one[3] == self.form.suffix}

    def recovered(self, part: Part) -> dict[int, str]:
        """The lines of a part that a break left, by the numbers of their images.

        What a kill leaves of a line at the end is not counted, nor anything behind it.
        """
        wanted, found = {item.index for item in part.items}, dict[int, str]()
        for file in self._journals(part):
            with suppress(FileNotFoundError), file.open("rb") as lines:
                for line in lines:
                    try:
                        text = line.decode()
                        index = json.loads(text)["index"]
                    except (ValueError, KeyError, TypeError):
                        break
                    if not text.endswith("\n") or index not in wanted:
                        break
                    found[index] = text.rstrip("\n")
        return found

    def vain(self, part: Part) -> int:
        """How often a part was begun by one who died before the first answer."""
        empty = 0
        for file in self._journals(part):
            with suppress(FileNotFoundError):  # another has finished the part in between
                empty += file.stat().st_size == 0
        return empty

    @contextmanager
    def journal(self, part: Part) -> Iterator[Journal]:
        """A file for the lines of a part on the way; see `Journal`."""
        path = self.work / f"{_stem(part)}.{uuid.uuid4().hex}.jsonl"
        try:
            with path.open("w", encoding="utf-8") as file:
                yield Journal(file)
        except OSError as error:
            raise refused(path, error, kept="what is done is kept") from error

    def finish(self, part: Part, lines: Sequence[str]) -> None:
        """Write a part, at once, and clear away what was left on the way to it."""
        file = self.file(part)
        with replacing(file) as temporary:
            self.form.write(temporary, lines)
        for journal in self._journals(part):
            with suppress(FileNotFoundError):
                journal.unlink()

    def sweep(self) -> None:
        """When all parts are there: clear away what kills have left."""
        # Others, who answered the last parts, may be at it as well.
        for left in [*self.path.glob(_LEFT_OVER), *_listed(self.work)]:
            with suppress(OSError):
                left.unlink()
        with suppress(OSError):
            self.work.rmdir()

    def _journals(self, part: Part) -> list[Path]:
        stem = f"{_stem(part)}."
        try:
            return sorted(f for f in self.work.iterdir() if f.name.startswith(stem))
        except FileNotFoundError:  # another process has swept: all is done
            return []


class Journal:
    """Lines that reach the system before `add` returns: a kill loses none of them.

    Args:
        file: To be written to.
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def add(self, lines: Iterable[str]) -> None:
        """Append whole lines."""
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()


class Manifest:
    """The list of finished parts of one process, a line each; what is there is found without it.

    Args:
        path: The file; a torn last line is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        whole, _, torn = path.read_bytes().rpartition(b"\n") if path.is_file() else (b"", b"", b"")
        if torn:
            with path.open("r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)

    @staticmethod
    def read(path: Path) -> Iterator[tuple[int, Finished]]:
        """The parts of a list by number; of what is torn nothing."""
        for line in path.read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                done = Finished(**json.loads(line))
                yield done.number, done

    def add(self, done: Finished) -> None:
        """Append a part.

        Raises:
            LookcloserError: When the operating system refuses.
        """
        try:
            with self.path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(done._asdict()) + "\n")
        except OSError as error:
            raise refused(self.path, error, kept="what is done is kept") from error


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_own(name: str) -> bool:
    return name in {SETTINGS, WORK} or fnmatch(name, _LEFT_OVER) or name.startswith(LOCK_FILE)


def _stem(part: Part) -> str:
    return _name(part.number, part.digest)


def _name(number: int, digest: str) -> str:
    return f"part-{number:06d}-{digest}"
