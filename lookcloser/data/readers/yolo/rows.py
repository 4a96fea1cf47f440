"""Lines of a label file: a class, then a box, the corners of an outline, or key points."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box
from lookcloser.core.wording import count
from lookcloser.data.readers.files import decode_text, read_bytes

# A thousand outlines of two hundred corners take 4 MiB.
_MOST_BYTES = 8 << 20
# As the programs of the YOLO family allow, for numbers that were rounded.
_SLACK = 0.01
# Of a side of the image: less is not told.
_TOLD = 1e-3

Thing = tuple[int, Box | None]
"""A class and corners as shares of the image; without them where the box has no area."""


@dataclass
class RowFindings:
    """What is told about the rows of all label files."""

    flat: int = 0
    repeated: int = 0
    cut: int = 0

    def notes(self) -> Iterator[str]:
        """Sentences for the catalog."""
        if self.flat:
            yield f"{count(self.flat, 'object')} with a box without area: the tag is kept"
        if self.repeated:
            yield f"{count(self.repeated, 'repeated row')} left out"
        if self.cut:
            yield f"{count(self.cut, 'box')} partly outside of the image, cut at its edge"


def is_row(head: bytes) -> bool:
    """Whether the first line that is not empty begins like a row: a class and four numbers."""
    text = head.replace(b"\0", b"").decode("utf-8", "replace")  # also of UTF-16
    lines = (line.split() for line in text.lstrip("\ufeff\ufffd").splitlines())
    words = next((line for line in lines if line), [])[:5]
    try:
        return len([float(word) for word in words]) == 5 and float(words[0]).is_integer()
    except ValueError:
        return False


def read_rows(
    path: Path, where: str, known: Collection[int], key_points: int, findings: RowFindings
) -> list[Thing]:
    """The objects of one image.

    A box is its center, width and height. Four corners (oriented boxes) and outlines become the
    box around them; of key points the box that stands before them is taken. A line of four numbers
    is a box also between outlines, where others take it for two corners.

    Args:
        path: The label file.
        where: Its name in errors.
        known: The numbers of classes.
        key_points: How many numbers follow a box.
        findings: Counts what is told.

    Raises:
        LookcloserError: If it has more than 8 MiB, or a line is wrong: another class, something
            that is no share of the image, or another number of them. Names the line.
    """
    text, _ = decode_text(read_bytes(path, _MOST_BYTES), path)
    things: dict[Thing, None] = {}
    for line, words in enumerate(map(str.split, text.split("\n")), 1):
        if not words:
            continue
        place = f"{where} line {line}"
        number = _class(words[0], place, known)
        box = _cut(_corners(_shares(words[1:], place, key_points)), findings)
        findings.repeated += box is not None and (number, box) in things
        things[number, box] = None
    return list(things)


def _class(word: str, place: str, known: Collection[int]) -> int:
    number = _number(word)
    if number is None or not number.is_integer() or int(number) not in known:
        allowed = f"0 to {max(known)}" if len(known) == max(known) + 1 else "Those with a name"
        raise LookcloserError(
            f"{place}: '{word[:60]}' is not the number of a class",
            allowed=allowed,
            fix="Add its name to the names of the classes, or correct the line",
        )
    return int(number)


def _shares(words: Sequence[str], place: str, key_points: int) -> list[float]:
    """Four numbers of a box, or pairs of the corners of an outline, all checked."""
    counted = len(words)
    if key_points and counted == 4 + key_points:
        words = words[:4]
    elif counted != 4 and (key_points or counted < 6 or counted % 2):
        outline = "6 and more in pairs (an outline); key points need kpt_shape in data.yaml"
        more = f"{4 + key_points} (a box and key points)" if key_points else outline
        raise LookcloserError(
            f"{place}: {counted} numbers behind the class", allowed=f"4 (a box), or {more}"
        )
    values = []
    for word in words:
        value = _number(word)
        if value is None or not -_SLACK <= value <= 1 + _SLACK:
            raise LookcloserError(
                f"{place}: '{word[:60]}' is not a share of the image",
                allowed="0 to 1: pixels over the width or height of the image",
            )
        values.append(value)
    return values


def _number(word: str) -> float | None:
    """A number as programs write it; Python itself also reads "1_0"."""
    try:
        return float(word) if "_" not in word else None
    except ValueError:
        return None


def _corners(values: Sequence[float]) -> Box:
    if len(values) > 4:
        return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _cut(box: Box, findings: RowFindings) -> Box | None:
    """The part of a box that is in the image; None where it has no area."""
    x0, y0, x1, y1 = box
    low, high = min(box), max(box)
    if low < 0 or high > 1:
        x0, y0, x1, y1 = (min(max(value, 0.0), 1.0) for value in box)
    if x0 >= x1 or y0 >= y1:
        findings.flat += 1
        return None
    findings.cut += low < -_TOLD or high > 1 + _TOLD
    return x0, y0, x1, y1
