"""What a page shows of an audit: its verdict, the cards of the classes, and the table of all.

The page of an audit and the report of a run that was audited show the same blocks.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookcloser.core.drawing import BOX_COLOR, draw_box, overlay
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.core.results.audit import LEVELS, Audit, AuditedClass, Look
from lookcloser.report.scores import number, percent

SHOWN = 6  # classes with images, where fewer are flagged
SIDE = 224  # pixels of an image, at most
MARGIN = 0.15  # of a box, shown around it
QUALITY = 80
_FRACTIONS = ("score", "without attended", "attended alone", "lost", "carried")
_LIFTS = ("attention",)


def audit_blocks(audit: Audit) -> dict[str, Any]:
    """The material of the macros in ``audit_blocks.html.j2``.

    Flagged classes, or the `SHOWN` most suspicious ones, come with images. Those are read again
    for the crops; crops of images that are gone are left out.
    """
    shown = max(SHOWN, len(audit.flagged))
    names = list(audit.explained)
    return {
        "split": audit.split,
        "images": sum(found.images for found in audit.classes),
        "verdict": verdict(audit),
        "cards": [_card(found) for found in audit.classes[:shown]],
        "columns": names,
        "rows": [
            (found, [_value(name, found.measures[name]) for name in names])
            for found in audit.classes
        ],
        "levels": LEVELS,
        "explained": audit.explained,
        "settings": audit.settings,
        "skipped": [f"{name}: {reason}" for name, reason in audit.skipped],
    }


def verdict(audit: Audit) -> list[str]:
    """What was found, in one sentence for each level that was."""
    used, unused = audit.at("model"), audit.at("data")
    of = f"of {number(len(audit.classes))} classes"
    sentences = []
    if used:
        many = f"{number(len(used))} {of} may be right for the wrong reason"
        sentences.append(f"{many}: {', '.join(used)}.")
    if unused:
        has = "has" if len(unused) == 1 else "have"
        sentences.append(
            f"{number(len(unused))} {of} {has} a shared detail in the data that this model does "
            f"not use: {', '.join(unused)}."
        )
    return sentences or [f"None {of} is flagged."]


def outlined(image: Image.Image, cells: NDArray[np.bool_]) -> Image.Image:
    """``image`` with a line around some cells (g, g) of a grid over it."""
    drawn = image.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    rows, columns = cells.shape
    x = [round(column * (image.width - 1) / columns) for column in range(columns + 1)]
    y = [round(row * (image.height - 1) / rows) for row in range(rows + 1)]
    padded = np.pad(cells, 1)
    for row, column in np.argwhere(padded[1:, 1:] != padded[:-1, 1:]).tolist():
        draw.line((x[column], y[row], x[column + 1], y[row]), BOX_COLOR, 2)
    for row, column in np.argwhere(padded[1:, 1:] != padded[1:, :-1]).tolist():
        draw.line((x[column], y[row], x[column], y[row + 1]), BOX_COLOR, 2)
    return drawn


def _card(found: AuditedClass) -> dict[str, Any]:
    average = _fitted(Image.fromarray(found.average))
    return {
        "found": found,
        "level": LEVELS[found.level],
        "average": _data(outlined(average, found.place)),
        "evidence": _data(overlay(average, found.heatmap)),
        "looks": [
            {"image": image, "share": percent(look.count / found.images, 0)}
            for look in found.looks
            if (image := _crop(look))
        ],
    }


def _crop(look: Look) -> str:
    """The typical image with the attended part framed; "" where it is no longer there."""
    try:
        image = load_image(look.image)
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
