"""What a YOLO data set says about itself: names of classes, and the images of each split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.data.readers.files import decode_text, read_bytes

# Thousands of classes take a few hundred kilobytes.
MOST_BYTES = 1 << 20
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Part:
    """Images of one split.

    Attributes:
        split: "train", "val" or "test"; None where nothing says so.
        listed: A folder, or a list of images (.txt), as written: it may be of another computer.
        where: The place it is written at, such as "data.yaml line 3".
    """

    split: str | None
    listed: str
    where: str


@dataclass(frozen=True)
class Description:
    """What labels mean, and where images are.

    Attributes:
        where: The file that names the classes.
        names: By their numbers in labels.
        parts: Of all splits, train first.
        key_points: How many numbers follow a box: the coordinates of its key points.
        notes: Sentences for the catalog.
    """

    where: str
    names: Mapping[int, str]
    parts: tuple[Part, ...]
    key_points: int = 0
    notes: tuple[str, ...] = ()

    def with_notes(self, *notes: str | None) -> Description:
        """The same with more notes; None is none."""
        return replace(self, notes=(*self.notes, *filter(None, notes)))


def read_page(path: Path) -> tuple[str, str | None]:
    """The text of a description of at most 1 MiB, in any Unicode form, and a note on its form.

    Raises:
        LookcloserError: If it is larger, unreadable or no text.
    """
    return decode_text(read_bytes(path, MOST_BYTES), path)


def read_names(path: Path) -> tuple[dict[int, str], str | None]:
    """Number -> class of a file with one name a line, and a note on its form.

    An empty line leaves its number without a name.

    Raises:
        LookcloserError: If it cannot be read or names nothing.
    """
    text, note = read_page(path)
    names = {i: line.strip() for i, line in enumerate(text.split("\n")) if line.strip()}
    if not names:
        raise LookcloserError(f"{path}: no name of a class", allowed="One in each line")
    return names, note
