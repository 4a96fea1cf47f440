"""Images side by side, and images as files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageShow

from lookcloser.core.drawing.text import draw_text, wrap
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.outputs import mark
from lookcloser.core.storage.atomic import replacing

MARGIN = 8
FONT_SIZE = 15
PAPER, INK = "white", "#1b1f24"


def contact_sheet(
    images: Sequence[Image.Image], titles: Sequence[str] = (), columns: int = 4
) -> Image.Image:
    """``images`` in rows on white paper, each centered under its title.

    Args:
        images: At least one image, of any sizes; the cells are as large as the largest.
        titles: One for each image, or none at all. A title wraps onto a second line; what is
            longer is cut and ends with "…".
        columns: Images side by side.

    Raises:
        ValueError: If there is no image, or the number of titles differs.
    """
    if not images or (titles and len(titles) != len(images)):
        raise ValueError(f"{len(images)} images and {len(titles)} titles: one title for each.")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    width = max(160, *(image.width for image in images))
    height = max(image.height for image in images)
    wrapped = [wrap(title, FONT_SIZE, width) for title in titles]
    line = FONT_SIZE + 4
    head = max((len(lines) for lines in wrapped), default=0) * line

    step_x, step_y = width + MARGIN, head + height + MARGIN
    sheet = Image.new("RGB", (columns * step_x + MARGIN, rows * step_y + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = MARGIN + column * step_x, MARGIN + row * step_y
        lines = wrapped[index] if titles else []
        top = y + head - len(lines) * line
        for number, text in enumerate(lines):
            draw_text(draw, (x, top + number * line), text, INK, FONT_SIZE)
        sheet.paste(image, (x + (width - image.width) // 2, y + head))
    return sheet


def image_format(path: str | Path) -> str:
    """Pillow's name of the format that the ending of ``path`` stands for.

    Raises:
        LookcloserError: For an ending that no format for writing has.
    """
    kind: str | None = Image.registered_extensions().get(Path(path).suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise UsageError(
            f"{path}: no format for images has this ending",
            allowed=".png, .jpg, .webp and others",
        )
    return kind


def save_image(image: Image.Image, path: str | Path) -> Path:
    """Write an image atomically, format by the ending, folders made; returns the path.

    Raises:
        LookcloserError: As `image_format`, and when it cannot be written.
    """
    path, kind = Path(path), image_format(path)
    with replacing(path) as temporary:
        image.save(temporary, format=kind, **mark(kind))
    return path


def show_image(image: Image.Image) -> None:
    """Open an image in the viewer of this machine, which does not wait for it to be closed.

    Raises:
        LookcloserError: Where Pillow finds no viewer, as on a server.
    """
    if not ImageShow.show(image):
        raise LookcloserError(
            "no image viewer on this machine",
            fix="Save the image and copy it: `prediction.save('evidence.png')`",
        )
