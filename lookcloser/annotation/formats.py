"""Records in the formats that detectors train on; the writers know records only.

Every file is written whole or not at all, and lies in the folder that was asked for, whatever the
images are called.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from lookcloser.annotation.cvat import write_cvat
from lookcloser.annotation.image_files import place_image, safe_names
from lookcloser.annotation.label_studio import write_label_studio
from lookcloser.annotation.records import Record, Thing
from lookcloser.annotation.xml_text import xml_text
from lookcloser.core.sizes import ImageSize
from lookcloser.core.storage.atomic import write_text
from lookcloser.core.storage.cells import safe_cell

Writer = Callable[[Path, Sequence[Record], Sequence[str]], list[Path]]

COLUMNS = ("image", "label", "score", "split", "x0", "y0", "x1", "y1")
_ABOUT = "Pseudo-boxes by lookcloser, found from image-level labels; pixels of the upright image"


def write_coco(folder: Path, records: Sequence[Record], names: Sequence[str]) -> list[Path]:
    """``annotations.json`` of COCO's object detection, with a ``score`` for each annotation.

    File names are relative to the folder of the data. Ids begin at 1, as in COCO's own files.
    """
    category = {name: number for number, name in enumerate(names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, record in enumerate(records, 1):
        width, height = record.size
        image = {"id": number, "file_name": record.name, "width": width, "height": height}
        images.append(image | ({"split": record.split} if record.split else {}))
        for thing in record.things:
            x0, y0, x1, y1 = thing.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category[thing.label],
                    "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                    "area": thing.area,
                    "segmentation": thing.mask if thing.mask is not None else [],
                    "iscrowd": 0,
                    "score": thing.score,
                }
            )
    content = {
        "info": {"description": _ABOUT},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category.items()],
    }
    path = folder / "annotations.json"
    write_text(path, json.dumps(content))
    return [path]


def write_voc(folder: Path, records: Sequence[Record], names: Sequence[str]) -> list[Path]:
    """``VOCdevkit/VOC2012`` with Annotations, ImageSets/Main and copies of the images.

    Corners are whole pixels counted from 1, all inclusive, as in VOC's own files. Every image is
    called ``.jpg``, whatever it is: that is the name that readers look for.
    """
    del names
    year = folder / "VOCdevkit" / "VOC2012"
    stems = safe_names(record.name for record in records)
    lists: dict[str, list[str]] = {}
    for record in records:
        stem = stems[record.name]
        place_image(record.source, year / "JPEGImages" / f"{stem}.jpg")
        write_text(year / "Annotations" / f"{stem}.xml", _voc_xml(record, f"{stem}.jpg"))
        lists.setdefault(record.split or "train", []).append(stem)
    trained = [*lists.get("train", ()), *lists.get("val", ())]
    for split, members in {**lists, "trainval": trained}.items():
        write_text(year / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{m}\n" for m in members))
    return [year]


def write_yolo(folder: Path, records: Sequence[Record], names: Sequence[str]) -> list[Path]:
    """``data.yaml``, ``labels/SPLIT/*.txt`` and copies in ``images/SPLIT``; scores in a table.

    A line is the class and the center, width and height of the box, or the corners of the outline
    where there are polygons, as shares of the image. A score is not allowed there, so
    ``boxes.csv`` lies beside.
    """
    index = {name: number for number, name in enumerate(names)}
    stems = safe_names(record.name for record in records)
    splits: dict[str, None] = {}
    for record in records:
        split, stem = record.split or "train", stems[record.name]
        splits[split] = None
        ending = os.path.splitext(record.name)[1].lower() or ".jpg"
        place_image(record.source, folder / "images" / split / f"{stem}{ending}")
        lines = [_yolo_line(index[thing.label], thing, record.size) for thing in record.things]
        write_text(folder / "labels" / split / f"{stem}.txt", "".join(lines))
    # Readers want both of these, and relative folders can be moved.
    first = next(iter(splits), "train")
    folders = {split: f"images/{split}" for split in splits}
    content: dict[str, object] = {
        "train": f"images/{'train' if 'train' in splits else first}",
        "val": f"images/{'val' if 'val' in splits else first}",
        **folders,
        "names": dict(enumerate(names)),
    }
    page = folder / "data.yaml"
    write_text(page, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return [page, *write_csv(folder, records, names)]


def write_csv(folder: Path, records: Sequence[Record], names: Sequence[str]) -> list[Path]:
    """``boxes.csv``: a line for each box."""
    del names
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for record in records:
        for thing in record.things:
            score = f"{thing.score:.6f}"
            texts = map(safe_cell, (record.name, thing.label))
            table.writerow([*texts, score, record.split or "", *thing.box])
    path = folder / "boxes.csv"
    # A file name that is not valid UTF-8 must not cost the table.
    write_text(path, text.getvalue().encode(errors="replace").decode())
    return [path]


FORMATS: dict[str, Writer] = {
    "coco": write_coco,
    "voc": write_voc,
    "yolo": write_yolo,
    "csv": write_csv,
    "labelstudio": write_label_studio,
    "cvat": write_cvat,
}
HOLDS_MASKS = {
    "coco": ("polygons", "rle"),
    "yolo": ("polygons",),
    "labelstudio": ("polygons",),
    "cvat": ("polygons",),
}
HOLDS_IMAGES = ("voc", "yolo")


def _voc_xml(record: Record, filename: str) -> str:
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, tag: str, text: object = "") -> ElementTree.Element:
        element = ElementTree.SubElement(parent, tag)
        element.text = xml_text(str(text))
        return element

    add(root, "folder", "VOC2012")
    add(root, "filename", filename)
    add(add(root, "source"), "image", record.name)
    size = add(root, "size")
    for tag, value in zip(("width", "height", "depth"), (*record.size, 3), strict=True):
        add(size, tag, value)
    add(root, "segmented", 0)
    for thing in record.things:
        entry = add(root, "object")
        add(entry, "name", thing.label)
        add(entry, "pose", "Unspecified")
        add(entry, "truncated", 0)
        add(entry, "difficult", 0)
        add(entry, "score", f"{thing.score:.6f}")
        corners = _whole_pixels(thing, record.size)
        box = add(entry, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            add(box, tag, value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _whole_pixels(thing: Thing, size: ImageSize) -> tuple[int, int, int, int]:
    """Counted from 1, ends inclusive, inside the image and at least one pixel wide and high."""
    x0, y0 = (min(round(v), most - 1) for v, most in zip(thing.box[:2], size, strict=True))
    x1, y1 = (round(value) for value in thing.box[2:])
    return x0 + 1, y0 + 1, max(x1, x0 + 1), max(y1, y0 + 1)


def _yolo_line(index: int, thing: Thing, size: ImageSize) -> str:
    width, height = size
    if isinstance(thing.mask, list):
        values = [
            value / (height if place % 2 else width) for place, value in enumerate(thing.mask[0])
        ]
    else:
        x0, y0, x1, y1 = thing.box
        values = [
            (x0 + x1) / 2 / width,
            (y0 + y1) / 2 / height,
            (x1 - x0) / width,
            (y1 - y0) / height,
        ]
    return " ".join([str(index), *(f"{value:.6f}" for value in values)]) + "\n"
