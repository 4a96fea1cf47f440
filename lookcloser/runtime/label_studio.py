"""The entries of a pre-annotation of Label Studio: all of an image in one list."""

from __future__ import annotations

from typing import Any

from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Box

IMAGE, BOXES, POLYGONS = "image", "label", "polygon"  # names in the labeling interface


def entry(
    number: int,
    score: float,
    size: ImageSize,
    *,
    kind: str,
    control: str,
    value: dict[str, Any],
    image: str = IMAGE,
) -> dict[str, Any]:
    """One entry.

    Args:
        number: From 1, within the image.
        score: In [0, 1].
        size: Of the upright image.
        kind: Of the value, e.g. "rectanglelabels".
        control: The name of the tag of the labeling interface that it belongs to.
        value: What was found.
        image: The name of the interface's image.
    """
    width, height = size
    return {
        "id": f"r{number}",
        "to_name": image,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score,
        "type": kind,
        "from_name": control,
        "value": value,
    }


def rectangle(label: str, box: Box, size: ImageSize) -> dict[str, Any]:
    """The value of a box (x0, y0, x1, y1) in pixels, in percent of the image's ``size``."""
    (x0, y0, x1, y1), (width, height) = box, size
    return {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
        "rotation": 0,
        "rectanglelabels": [label],
    }
