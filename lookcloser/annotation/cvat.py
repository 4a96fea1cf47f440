"""Records as "CVAT for images 1.1"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from lookcloser.annotation.records import Record, Thing
from lookcloser.annotation.xml_text import xml_text
from lookcloser.core.storage.atomic import write_text


def write_cvat(folder: Path, records: Sequence[Record], names: Sequence[str]) -> list[Path]:
    """``annotations.xml``: boxes, or polygons where there are some, with their score.

    Image names are relative to the folder of the data, as an upload of that folder has them.
    """
    root = ElementTree.Element("annotations")
    _add(root, "version", "1.1")
    task = _add(_add(root, "meta"), "task")
    _add(task, "size", str(len(records)))
    labels = _add(task, "labels")
    for name in names:
        label = _add(labels, "label")
        _add(label, "name", name)
        attribute = _add(_add(label, "attributes"), "attribute")
        for tag, text in (
            ("name", "score"),
            ("mutable", "False"),
            ("input_type", "text"),
            ("default_value", ""),
            ("values", ""),
        ):
            _add(attribute, tag, text)
    for number, record in enumerate(records):
        width, height = record.size
        image = ElementTree.SubElement(
            root,
            "image",
            id=str(number),
            name=xml_text(record.name),
            width=str(width),
            height=str(height),
        )
        for thing in record.things:
            _shape(image, thing)
    ElementTree.indent(root)
    path = folder / "annotations.xml"
    write_text(path, ElementTree.tostring(root, encoding="unicode") + "\n")
    return [path]


def _shape(image: ElementTree.Element, thing: Thing) -> None:
    about = {"label": xml_text(thing.label), "source": "auto", "occluded": "0", "z_order": "0"}
    if isinstance(thing.mask, list):
        flat = thing.mask[0]
        corners = zip(flat[::2], flat[1::2], strict=True)
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
        shape = ElementTree.SubElement(image, "polygon", about, points=points)
    else:
        sides = zip(("xtl", "ytl", "xbr", "ybr"), thing.box, strict=True)
        shape = ElementTree.SubElement(
            image, "box", about, **{side: f"{value:.2f}" for side, value in sides}
        )
    _add(shape, "attribute", f"{thing.score:.6f}").set("name", "score")


def _add(parent: ElementTree.Element, tag: str, text: str = "") -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = xml_text(text)
    return element
