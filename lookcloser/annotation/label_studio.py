"""Records as pre-annotations of Label Studio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from lookcloser.annotation.records import Record, Thing
from lookcloser.annotation.xml_text import xml_text
from lookcloser.core.sizes import ImageSize
from lookcloser.core.storage.atomic import write_text
from lookcloser.runtime.label_studio import BOXES, IMAGE, POLYGONS, entry, rectangle

_LOCAL_FILES = "/data/local-files/?d="


def write_label_studio(folder: Path, records: Sequence[Record], names: Sequence[str]) -> list[Path]:
    """``tasks.json`` to import, and the ``label_config.xml`` it belongs to.

    One task for each image with all its boxes or polygons in one prediction. Images are found in
    local storage whose root is the folder of the data.
    """
    tasks = [_task(record) for record in records]
    path, config = folder / "tasks.json", folder / "label_config.xml"
    write_text(path, json.dumps(tasks))
    write_text(config, label_config(names))
    return [path, config]


def label_config(names: Sequence[str]) -> str:
    """The labeling interface for boxes and polygons of some classes."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value="$image")
    for tag, name in (("RectangleLabels", BOXES), ("PolygonLabels", POLYGONS)):
        group = ElementTree.SubElement(view, tag, name=name, toName=IMAGE)
        for label in names:
            ElementTree.SubElement(group, "Label", value=xml_text(label))
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def results(things: Sequence[Thing], size: ImageSize) -> list[dict[str, Any]]:
    """The entries of one prediction: a dictionary for each box or polygon, in percent.

    Args:
        things: What was found in one image.
        size: Of it.
    """
    return [_result(number, thing, size) for number, thing in enumerate(things, 1)]


def _task(record: Record) -> dict[str, Any]:
    place = _LOCAL_FILES + quote(record.name, errors="replace")
    prediction = {
        "model_version": "lookcloser",
        "score": max((thing.score for thing in record.things), default=0.0),
        "result": results(record.things, record.size),
    }
    return {"data": {"image": place}, "predictions": [prediction]}


def _result(number: int, thing: Thing, size: ImageSize) -> dict[str, Any]:
    if not isinstance(thing.mask, list):
        value = rectangle(thing.label, thing.box, size)
        return entry(number, thing.score, size, kind="rectanglelabels", control=BOXES, value=value)
    flat, (width, height) = thing.mask[0], size
    points = [
        [100 * x / width, 100 * y / height] for x, y in zip(flat[::2], flat[1::2], strict=True)
    ]
    value = {"points": points, "polygonlabels": [thing.label]}
    return entry(number, thing.score, size, kind="polygonlabels", control=POLYGONS, value=value)
