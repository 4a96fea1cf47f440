"""Sections of images that are drawn here, each in several ways."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

from lookcloser.core.drawing import draw_region
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.core.results.box_updates import move_words
from lookcloser.core.types import Prediction, Sheet, Sight
from lookcloser.report.cards import data_uri

PANEL = 280  # longest side in pixels


def sheet_data(sheet: Sheet) -> dict[str, Any]:
    """What the template prints of a sheet; a sight whose image is gone is left out."""
    drawn = [(sight, _image(sight.prediction)) for sight in sheet.sights]
    return {
        "title": sheet.title,
        "key": re.sub(r"\W+", "-", sheet.title.lower()),
        "note": sheet.note,
        "sights": [_sight_data(sight, image) for sight, image in drawn if image is not None],
    }


def _sight_data(sight: Sight, image: Image.Image) -> dict[str, Any]:
    prediction = sight.prediction
    name = prediction.path.name if prediction.path else "image"
    best = prediction.labels[0] if prediction.labels else None
    views = [
        {
            "name": view,
            "src": data_uri(draw_region(image, region, prediction.size)),
            "words": "" if region.move is None else move_words(region.move),
        }
        for view, region in sight.views.items()
    ]
    views.insert(0, {"name": "original", "src": data_uri(image), "words": ""})
    return {"name": name, "answer": best, "views": views}


def _image(prediction: Prediction) -> Image.Image | None:
    source: Any = prediction.image if prediction.path is None else prediction.path
    if source is None:
        return None
    try:
        image = load_image(source)
    except LookcloserError:
        return None
    factor = PANEL / max(image.size)
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
