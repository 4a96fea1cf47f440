"""CUB-200-2011 (Wah et al., 2011) and NABirds (Van Horn et al., 2015): lines of "id value"."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box
from lookcloser.core.wording import named
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, inside, keep_present, read_text

_IMAGES, _LABELS, _CLASSES = "images.txt", "image_class_labels.txt", "classes.txt"
_SPLITS, _BOXES = "train_test_split.txt", "bounding_boxes.txt"
_TREE = "hierarchy.txt"


def recognizes(root: Path) -> bool:
    """A folder with images.txt, image_class_labels.txt and classes.txt."""
    return all((root / name).is_file() for name in (_IMAGES, _LABELS, _CLASSES))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read CUB-200-2011 or NABirds; classes keep their order, their number ("001.") is dropped.

    The split and the boxes (x, y, width, height in pixels) are optional files, and NABirds'
    hierarchy.txt, of which the groups become the parents of the classes.

    Raises:
        LookcloserError: If a line is wrong, an id lacks its label, or an image is missing.
    """
    images, labels = _pairs(root / _IMAGES), _pairs(root / _LABELS)
    # "001.Black_footed_Albatross" -> "Black_footed_Albatross"
    names = {k: re.sub(r"^\d+\.", "", value) for k, value in _pairs(root / _CLASSES).items()}
    is_train = _pairs(root / _SPLITS) if (root / _SPLITS).is_file() else {}
    boxes = _pairs(root / _BOXES) if (root / _BOXES).is_file() else {}
    rows = []
    for key, listed in images.items():
        where = f"{_IMAGES} id {key}"
        name, path = inside(root, f"images/{listed}", where)
        label = names.get(labels.get(key, ""))
        if label is None:
            raise LookcloserError(f"{where}: no class for it in {_LABELS} and {_CLASSES}")
        if is_train and is_train.get(key) not in ("0", "1"):
            raise LookcloserError(f"{where}: neither 0 nor 1 for it in {_SPLITS}")
        sample = Sample(
            name=name,
            source=path,
            labels=(label,),
            boxes=((label, _box(boxes[key], key)),) if key in boxes else (),
            split={"1": "train", "0": "test"}.get(is_train.get(key, "")),
        )
        rows.append(Row(where, sample))
    samples, skipped = keep_present(rows, skip_missing, root)
    used = {row.sample.labels[0] for row in rows}
    every = dict.fromkeys(names.values())
    unused = [name for name in every if name not in used]
    notes = [f"Classes without an image are left out: {named(unused)}"] if unused else []
    ids: dict[str, set[str]] = defaultdict(set)
    for key in images:
        ids[names[labels[key]]].add(labels[key])
    shared = [name for name, keys in ids.items() if len(keys) > 1]
    notes += [f"Several ids of one name, read as one class: {named(shared)}"] if shared else []
    return Catalog(
        root=root,
        layout="CUB-200-2011",
        task="classification",
        names=tuple(name for name in every if name in used),
        samples=samples,
        skipped=skipped,
        notes=tuple(notes),
        parents=_parents(root / _TREE, names),
    )


def _parents(path: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Class or group -> the group above it, from lines of two ids; the top has no entry."""
    pairs = _pairs(path) if path.is_file() else {}
    known = ((names.get(child), names.get(parent)) for child, parent in pairs.items())
    return {child: parent for child, parent in known if child and parent and child != parent}


def _pairs(path: Path) -> dict[str, str]:
    """Lines of "key value" in order; the value may hold spaces."""
    pairs = (line.split(None, 1) for line in read_text(path).splitlines() if line.strip())
    return {key: value[0].strip() if value else "" for key, *value in pairs}


def _box(text: str, key: str) -> Box:
    try:
        x, y, width, height = (float(part) for part in text.split())
    except ValueError:
        x = y = width = height = math.nan
    if not all(map(math.isfinite, (x, y, width, height))):
        raise LookcloserError(
            f"{_BOXES} id {key}: '{text}' is not a box", allowed="x y width height"
        )
    return x, y, x + width, y + height
