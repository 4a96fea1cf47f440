"""What is known of one image after it was annotated; one line of the journal."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Box

# COCO's forms of a mask: polygons [[x, y, x, y, ...]], or {"size": [h, w], "counts": [...]}.
Segmentation = list[list[float]] | dict[str, list[int]]


@dataclass(frozen=True)
class Thing:
    """One pseudo-box.

    Attributes:
        label: The class.
        score: Of the class in the whole image, in [0, 1].
        box: (x0, y0, x1, y1) in pixels of the original image, x1 and y1 exclusive.
        area: Of the mask, in square pixels of the original image.
        mask: In the same pixels; None where none was asked for.
    """

    label: str
    score: float
    box: Box
    area: float
    mask: Segmentation | None = None


@dataclass(frozen=True)
class Record:
    """One image.

    Attributes:
        name: Its path inside the data set, "/" between names.
        source: The file; "" for images that are no files.
        split: "train", "val", "test", or None.
        size: Of the upright image.
        things: What was found; empty where there is no evidence for any label.
        error: Why the image could not be read, or None.
    """

    name: str
    source: str
    split: str | None
    size: ImageSize
    things: tuple[Thing, ...] = ()
    error: str | None = None

    def to_line(self) -> str:
        """JSON without line breaks."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":"))

    @staticmethod
    def from_line(line: str) -> Record:
        """The record of `to_line`.

        Raises:
            ValueError: For a line that is not complete.
        """
        try:
            values: dict[str, Any] = json.loads(line)
            things = tuple(
                Thing(**{**thing, "box": _box(thing["box"])}) for thing in values.pop("things")
            )
            width, height = values.pop("size")
            return Record(**values, size=ImageSize(width, height), things=things)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a record: {line[:60]}") from error


def _box(values: list[float]) -> Box:
    x0, y0, x1, y1 = values
    return x0, y0, x1, y1
