"""One audit -> one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookcloser.core.atomic import write_text
from lookcloser.core.audit import Audit, AuditedClass, Look
from lookcloser.core.drawing import BOX_COLOUR, draw_box, overlay
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.report.page import environment, source
from lookcloser.report.scores import number, percent
from lookcloser.version import __version__

STYLES = ("report.css", "audit.css")
SHOWN = 6  # classes with pictures, where fewer are flagged
SIDE = 224  # pixels of a picture, at most
MARGIN = 0.15  # of a box, shown around it
QUALITY = 80
_FRACTIONS = ("score", "without attended", "attended alone", "lost", "carried")
_LIFTS = ("attention",)


def write_audit(
    path: str | Path, audit: Audit, *, about: Mapping[str, str] | None = None, title: str = "Audit"
) -> Path:
    """Write an audit as one self-contained HTML file.

    Flagged classes, or the `SHOWN` most suspicious ones, come with pictures: the mean of their
    pictures with the place in question, their mean evidence, and a typical crop for each kind of
    place that the class is recognised by. All classes are in a table. The page has no script and
    asks for nothing outside it; the same input gives the same bytes.

    Args:
        path: The file to write; written atomically, folders made.
        audit: What was found. Pictures are read again for the crops; those that are gone are left
            out.
        about: Method, backbone, data, versions, in the order to show them.
        title: Heading of the page.

    Returns:
        ``path``.

    Raises:
        LookcloserError: If the file cannot be written.
    """
    shown = max(SHOWN, len(audit.flagged))
    names = list(audit.explained)
    context = {
        "title": title,
        "version": __version__,
        "style": source(*STYLES),
        "split": audit.split,
        "images": sum(found.images for found in audit.classes),
        "flagged": audit.flagged,
        "cards": [_card(found) for found in audit.classes[:shown]],
        "columns": names,
        "rows": [
            (found, [_value(name, found.measures[name]) for name in names])
            for found in audit.classes
        ],
        "explained": audit.explained,
        "settings": audit.settings,
        "about": about or {},
        "skipped": [f"{name}: {reason}" for name, reason in audit.skipped],
    }
    path = Path(path)
    page = environment().get_template("audit.html.j2").render(context)
    # A file name that is not valid UTF-8 must not cost the page.
    write_text(path, page.encode(errors="replace").decode())
    return path


def outlined(image: Image.Image, cells: NDArray[np.bool_]) -> Image.Image:
    """``image`` with a line around some cells (g, g) of a grid over it."""
    drawn = image.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    rows, columns = cells.shape
    x = [round(column * (image.width - 1) / columns) for column in range(columns + 1)]
    y = [round(row * (image.height - 1) / rows) for row in range(rows + 1)]
    padded = np.pad(cells, 1)
    for row, column in np.argwhere(padded[1:, 1:] != padded[:-1, 1:]).tolist():
        draw.line((x[column], y[row], x[column + 1], y[row]), BOX_COLOUR, 2)
    for row, column in np.argwhere(padded[1:, 1:] != padded[1:, :-1]).tolist():
        draw.line((x[column], y[row], x[column], y[row + 1]), BOX_COLOUR, 2)
    return drawn


def _card(found: AuditedClass) -> dict[str, Any]:
    average = _fitted(Image.fromarray(found.average))
    return {
        "found": found,
        "average": _data(outlined(average, found.place)),
        "evidence": _data(overlay(average, found.heatmap)),
        "looks": [
            {"picture": picture, "share": percent(look.count / found.images, 0)}
            for look in found.looks
            if (picture := _crop(look))
        ],
    }


def _crop(look: Look) -> str:
    """The typical picture with the attended part framed; "" where it is no longer there."""
    try:
        image = load_image(look.picture)
    except LookcloserError:
        return ""
    if look.box is None:
        return _data(_fitted(image))
    x0, y0, x1, y1 = look.box
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = max(0, round(x0 - across)), max(0, round(y0 - down))
    right, bottom = min(image.width, round(x1 + across)), min(image.height, round(y1 + down))
    if right - left < 2 or bottom - top < 2:
        return _data(_fitted(image))
    crop = image.crop((left, top, right, bottom))
    large = _fitted(crop)
    x, y = large.width / crop.width, large.height / crop.height
    box = ((x0 - left) * x, (y0 - top) * y, (x1 - left) * x, (y1 - top) * y)
    return _data(draw_box(large, box))


def _fitted(image: Image.Image) -> Image.Image:
    factor = SIDE / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _data(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _value(name: str, value: float) -> str:
    if any(name.endswith(ending) for ending in _LIFTS):
        return f"{value:.1f}×"
    if any(name.endswith(ending) for ending in _FRACTIONS):
        return percent(value, 0)
    return number(round(value, 2))
