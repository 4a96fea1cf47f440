"""Karpathy's splits of COCO, Flickr8k and Flickr30k (2015): ``dataset_flickr30k.json``."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, inside, keep_present
from lookcloser.data.readers.json_files import (
    is_json_name,
    json_files,
    mentioned,
    read_json,
    records,
    text_of,
)
from lookcloser.data.readers.tables.places import image_folder

# "restval": images of COCO's val that are trained on.
_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}
_SIGNS = frozenset({"images", "sentences", "raw", "filename", "split"})


def recognizes(root: Path) -> bool:
    """A JSON file of images with sentences, or a folder with one; the files are not parsed."""
    return bool(_files(root))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read the file ``root``, or the only one in the folder ``root``, with its splits.

    Raises:
        LookcloserError: If there are several files, an entry is wrong, or an image is missing;
            names the place.
    """
    files = _files(root)
    if len(files) > 1:
        found = ", ".join(file.name for file in files)
        raise LookcloserError(
            f"{root}: several files of captions ({found})", fix="Give one of them"
        )
    base = root if root.is_dir() else root.parent
    content = read_json(files[0], _SIGNS | {"filepath"})
    entries = list(records(content, "images", files[0].name))
    names = [_name(base, image, place) for place, image in entries]
    folder = image_folder(base, names)
    rows: dict[str, Row] = {}
    for (place, image), name in zip(entries, names, strict=True):
        row = Row(place, _sample(base, posixpath.join(folder, name), image, place))
        if rows.setdefault(name, row) is not row:
            raise LookcloserError(f"{place}: '{name}' is at {rows[name].where} already")
    samples, skipped = keep_present(rows.values(), skip_missing, base)
    return Catalog(base, "Karpathy captions", "captioning", (), samples, skipped)


def _files(root: Path) -> list[Path]:
    files = json_files(root) if root.is_dir() else [root] if is_json_name(root.name) else []
    return [path for path in files if mentioned(path, _SIGNS) == _SIGNS]


def _name(base: Path, image: dict[str, Any], place: str) -> str:
    """COCO's entries have a folder of their own, ``filepath``: its release has two."""
    folder = text_of(image, "filepath", place) if "filepath" in image else ""
    return inside(base, posixpath.join(folder, text_of(image, "filename", place)), place)[0]


def _sample(base: Path, name: str, image: dict[str, Any], place: str) -> Sample:
    split = text_of(image, "split", place)
    if split not in _SPLITS:
        raise LookcloserError(f"{place}: '{split}' is not a split", allowed=f"{', '.join(_SPLITS)}")
    captions = tuple(
        text_of(sentence, "raw", where) for where, sentence in records(image, "sentences", place)
    )
    if not captions:
        raise LookcloserError(f"{place}: no sentences")
    return Sample(name, base / name, captions=captions, split=_SPLITS[split])
