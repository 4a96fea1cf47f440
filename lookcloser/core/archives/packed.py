"""One file inside an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import unreadable


@dataclass(frozen=True, slots=True)
class Packed:
    """A file inside an archive, by its place in it.

    It is small, can be sent to other processes, and opens the archive anew each time it is read, so
    that processes and threads do not share a position.

    Attributes:
        archive: The archive.
        name: The name of the member; never used as a path.
        offset: Where its bytes begin in the archive.
        size: How many there are.
    """

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            LookcloserError: If the archive is gone, cannot be read, or is shorter than it was.
        """
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise unreadable(str(self), error) from error
        if len(content) != self.size:
            raise LookcloserError(
                f"{self}: the archive ends before this member does", fix="Copy the archive again"
            )
        return content
