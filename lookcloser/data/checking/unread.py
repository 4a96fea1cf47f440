"""What lies in the folder of a data set and was not read, and why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lookcloser.core.storage.files import (
    HEIC_SUFFIXES,
    is_image_name,
    subfolders,
    walk_files,
    walk_images,
)
from lookcloser.core.wording import count, encodable, named, some
from lookcloser.data.catalog import Catalog
from lookcloser.data.checking.advice import unread_tables, yolo_signs
from lookcloser.data.masks import MASKS
from lookcloser.data.readers.files import read_head
from lookcloser.data.readers.folders import LAYOUT

_MOST_FILES = 1_000_000
_MOST_LOOKED_AT = 1000
_IMAGE_SIGNS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
# What stands beside images on purpose; everything else may have been meant as an image.
_COMPANIONS = frozenset(
    {"", ".bib", ".cache", ".cfg", ".csv", ".data", ".db", ".doc", ".docx", ".gz", ".html"}
    | {".ini", ".ipynb", ".json", ".jsonl", ".labels", ".license", ".log", ".mat", ".md"}
    | {".names", ".ndjson", ".npy", ".pdf", ".pkl", ".py", ".rst", ".tab", ".tar", ".toml"}
    | {".tsv", ".txt", ".url", ".xlsx", ".xml", ".yaml", ".yml", ".zip"}
)


def unread(catalog: Catalog) -> tuple[str, ...]:
    """Sentences about files and folders below the root that are no part of the catalog."""
    files = all(isinstance(sample.source, Path) for sample in catalog.samples[:1])
    if not files or not catalog.root.is_dir():
        return ()
    return tuple(map(encodable, _sentences(catalog)))


def _sentences(catalog: Catalog) -> Iterator[str]:
    root, used = catalog.root, {sample.name for sample in catalog.samples}
    used |= {name for name, _ in catalog.skipped}
    below = list(map(encodable, islice(walk_files(root), _MOST_FILES)))
    others = [path for path in below if path not in used and not path.startswith(f"{MASKS}/")]
    images = [path for path in others if is_image_name(path.rpartition("/")[2])]
    if images:
        yield f"{some(images, 'image')} not in the data set: listed or filed nowhere"
    endings = Counter(os.path.splitext(path)[1].lower() for path in others)
    odd = Counter(
        {e: n for e, n in endings.items() if e not in _COMPANIONS and not is_image_name(f"x{e}")}
    )
    if odd:
        heic = "; for HEIC `pip install 'lookcloser[heic]'`" if HEIC_SUFFIXES & set(odd) else ""
        are = "is" if odd.total() == 1 else "are"
        yield (
            f"{count(odd.total(), 'file')} that {are} no image this program reads "
            f"({', '.join(sorted(odd))}){heic}"
        )
    if catalog.tables:
        own = (table for table in unread_tables(root) if table.split(" (columns ")[0] not in
               catalog.tables)  # fmt: skip
        yield from (f"{table} is not read" for table in own)
    nameless = [path for path in others if not os.path.splitext(path)[1]][:_MOST_LOOKED_AT]
    hidden = [path for path in nameless if read_head(root / path, 16).startswith(_IMAGE_SIGNS)]
    if hidden:
        yield f"Not read, as their names have no ending such as .jpg: {some(hidden, 'image')}"
    if catalog.layout != LAYOUT:
        return
    boxes = [path for path in others if path.lower().endswith(".xml")]
    if boxes and not any(sample.boxes for sample in catalog.samples):
        yield f"Not read beside class folders: {count(len(boxes), 'annotation')} (.xml)"
    empty = list(_empty_folders(root))
    if empty:
        yield f"{count(len(empty), 'folder')} without images: {named(empty)}"
    if not any(sample.boxes for sample in catalog.samples):  # those come from a table
        yield from (f"{table} is not read" for table in unread_tables(root))
    signs = yolo_signs(root)
    if signs:
        yield f"{signs} (YOLO) are not read"


def _empty_folders(root: Path) -> Iterator[str]:
    """Folders beside the classes, in the root and in its splits, with no image anywhere below."""
    for name in subfolders(root):
        if not any(walk_images(root / name)):
            yield name
            continue
        for inner in subfolders(root / name):
            if not any(walk_images(root / name / inner)):
                yield f"{name}/{inner}"
