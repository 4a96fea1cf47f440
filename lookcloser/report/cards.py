"""One answer -> the card of its image: what the template prints and what the page draws.

A map travels as its raw grid, one byte a value, and the page colors it: a 7×7 map is 49 bytes
where an image of the overlay is 10,000.
"""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.core import boxes as box_geometry
from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.core.results.showing import doubts
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Answer, Box, Label, Prediction, Region

THUMBNAIL = 208  # longest side in pixels
JPEG_QUALITY = 78
LARGEST_GRID = 32  # finer maps, e.g. of saliency, are averaged down to it
LABELS_SHOWN = 5  # of a ranking: the best of a classification


def card_text(answer: Answer, index: int) -> dict[str, Any]:
    """What the template prints of an answer; ``index`` is its position in the evaluation."""
    prediction = answer.prediction
    width, height = prediction.size
    return {
        "index": index,
        "name": prediction.path.name if prediction.path else f"image {index + 1}",
        "path": str(prediction.path) if prediction.path else "",
        "alt": f"{_answer_words(prediction)}; truth: {', '.join(answer.truth) or 'none'}",
        "thumbnail": thumbnail(prediction),
        "ratio": round(width / height, 4),
        "regions": [_region_text(region, answer) for region in prediction.regions],
        "plain": _without_evidence(answer),
        "labels": _ranked(prediction),
        "truth": answer.truth,
        "caption": _spoken(prediction),
        "doubts": doubts(prediction, LABELS_SHOWN),
        "loss": answer.loss,
        "iou": answer.iou,
    }


def card_data(answer: Answer) -> dict[str, Any]:
    """What the page draws of an answer: boxes as fractions of the image, maps as grids."""
    prediction = answer.prediction
    regions = [_region_data(region, prediction.size) for region in prediction.regions]
    true = [i for i, region in enumerate(prediction.regions) if region.label in answer.truth]
    return {
        "ratio": round(prediction.size[0] / prediction.size[1], 4),
        "boxes": [_fractions(box, prediction.size) for box in answer.boxes],
        "regions": regions,
        "true": true[0] if true else None,
    }


def encode_grid(heatmap: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """(h, w) in [0, 1] -> ``{"w", "h", "data"}``, data = base64 of one byte a value, row by row.

    A map larger than `LARGEST_GRID` is reduced to it by averaging.
    """
    values = np.clip(np.nan_to_num(heatmap), 0.0, 1.0)
    image = Image.fromarray(values.astype(np.float32))
    size = (min(image.width, LARGEST_GRID), min(image.height, LARGEST_GRID))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    levels = (np.asarray(image) * 255.0).round().astype(np.uint8)
    return {"w": size[0], "h": size[1], "data": base64.b64encode(levels.tobytes()).decode()}


def thumbnail(prediction: Prediction) -> str:
    """The image as a small JPEG in a data URI; empty where the image is no longer there."""
    source: Any = prediction.image if prediction.path is None else Path(prediction.path)
    if source is None:
        return ""
    try:
        image = load_image(source)
    except LookcloserError:
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return data_uri(image)


def data_uri(image: Image.Image) -> str:
    """An image as a JPEG in a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _ranked(prediction: Prediction) -> tuple[Label, ...]:
    """The best of a ranking, and the group that is surer; of a set every label, an answer each."""
    if TRAITS[prediction.task].labels == "some":
        return prediction.labels
    group = prediction.group
    surer = () if group is None else (replace(group, name=f"group {group.name}"),)
    return prediction.labels[:LABELS_SHOWN] + surer


def _answer_words(prediction: Prediction) -> str:
    if prediction.caption is not None:
        return prediction.caption
    shown = prediction.labels[:1] if TRAITS[prediction.task].labels == "one" else prediction.labels
    return ", ".join(label.name for label in shown) or "no answer"


def _spoken(prediction: Prediction) -> str:
    """The caption, unless the buttons of its words already say it."""
    caption = prediction.caption or ""
    words = [region.label for region in prediction.regions if region.kind == "word"]
    return "" if words == caption.split() else caption


def _region_text(region: Region, answer: Answer) -> dict[str, Any]:
    numbered = region.step is not None and region.kind not in ("map", "word")
    return {
        "kind": region.kind,
        "label": region.label,
        "score": region.score,
        "true": region.label in answer.truth,
        "prefix": f"{region.kind} {(region.step or 0) + 1}: " if numbered else "",
    }


def _without_evidence(answer: Answer) -> list[dict[str, Any]]:
    """Answers and truths that no region speaks for, so that a card always shows both."""
    prediction = answer.prediction
    told = {region.label for region in prediction.regions}
    scores = {label.name: label.score for label in prediction.labels}
    missing = "missed" if TRAITS[prediction.task].labels == "some" else ""
    if TRAITS[prediction.task].labels == "words":
        names, missing = [*answer.truth[:1]], "reference"
    elif TRAITS[prediction.task].labels == "one":
        names = [*list(scores)[:1], *answer.truth]
    else:
        names = [*scores, *answer.truth]
    return [
        {
            "name": name,
            "score": scores.get(name),
            "true": name in answer.truth,
            "missing": missing,
        }
        for name in dict.fromkeys(names)
        if name not in told
    ]


def _region_data(region: Region, size: ImageSize) -> dict[str, Any]:
    heatmap = region.heatmap
    return {
        "kind": region.kind,
        "box": None if region.box is None else _fractions(region.box, size),
        "grid": None if heatmap is None else encode_grid(heatmap),
        "nothing": region.says_nothing,
    }


def _fractions(box: Box, size: ImageSize) -> list[float]:
    scaled: list[float] = box_geometry.scale(box, size, ImageSize(1, 1)).round(4).tolist()
    return scaled
