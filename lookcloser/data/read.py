"""`read_data`: what is there is recognised, without a flag."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.files import is_image_name, missing_path, refuse_url, walk_images
from lookcloser.core.wording import count, some
from lookcloser.data.catalog import Catalog
from lookcloser.data.readers import READERS, Reader
from lookcloser.data.readers.delimited import TABLE_SUFFIXES, is_table_name, read_columns
from lookcloser.data.splits import make_splits

_FEW = 50


def read_data(
    path: str | Path,
    *,
    split_seed: int = 0,
    val_share: float = 0.1,
    test_share: float = 0.2,
    skip_missing: bool = False,
) -> Catalog:
    """Read a data set of any layout in `READERS`; no image is decoded, nothing is downloaded.

    Args:
        path: A folder, or a file: CSV, TSV, the JSON of COCO, the captions of Flickr8k or 30k.
        split_seed: Seed of the splits that the data does not bring along.
        val_share: Share of the training images that becomes val where there is none.
        test_share: Share of all images that becomes test where there is neither val nor test.
        skip_missing: Leave out images that are listed but not there, instead of failing.

    Returns:
        The catalog, in which every sample has a split.

    Raises:
        LookcloserError: If there is no such path, no layout fits (the message says what was found),
            there are no images, or the reader of the layout finds something wrong.
    """
    refuse_url(path)
    root = Path(path).expanduser()
    if not root.exists():
        raise missing_path(path)
    try:
        catalog = _reader(root).read(root, skip_missing)
    except OSError as error:
        raise LookcloserError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if not catalog.samples:
        raise LookcloserError(f"{path}: {catalog.layout} without any image")
    samples = make_splits(
        catalog.samples, seed=split_seed, val_share=val_share, test_share=test_share
    )
    complete = replace(catalog, samples=samples)
    given = {*catalog.splits, "train"}
    made = [split for split in complete.splits if split not in given]
    if not made:
        return complete
    note = f"Made from a hash of the file names (seed {split_seed}): {', '.join(made)}"
    return replace(complete, notes=(*catalog.notes, note))


def _first(root: Path) -> Reader | None:
    return next((reader for reader in READERS if reader.recognises(root)), None)


def _reader(root: Path) -> Reader:
    found = _first(root)
    if found is not None:
        return found
    if root.is_file():
        raise LookcloserError(
            f"{root}: not a list of images with labels or captions",
            allowed=f"A folder, a table ({', '.join(TABLE_SUFFIXES)}), COCO's .json, or captions "
            "in the form of Flickr8k",
        )
    layouts = "; ".join(f"{reader.layout} ({reader.signs})" for reader in READERS)
    raise LookcloserError(
        f"{root}: no data layout recognised, {_found(root)}",
        allowed=f"the layouts {layouts}",
        fix=_hint(root),
    )


def _found(root: Path) -> str:
    """What is in a folder, in words."""
    with os.scandir(root) as entries:
        visible = sorted((e.name, e.is_dir()) for e in entries if not e.name.startswith("."))
    if not visible:
        return "the folder is empty"
    folders = [name for name, is_folder in visible if is_folder]
    files = [name for name, is_folder in visible if not is_folder]
    parts = [some(folders, "folder")] if folders else []
    parts += [
        f"{name} with columns {', '.join(read_columns(root / name)) or 'none'}"
        for name in files[:_FEW]
        if is_table_name(root / name)
    ]
    images = sum(map(is_image_name, files))
    parts += [f"{count(images, 'image')} without labels"] if images else []
    if not any(walk_images(root)):
        parts.append("no images anywhere")
    return "found " + ", ".join(parts)


def _hint(root: Path) -> str | None:
    """Subfolders that are data sets by themselves."""
    inner = sorted(path for path in root.iterdir() if path.is_dir())[:_FEW]
    layouts = ((path.name, _first(path)) for path in inner)
    readable = [f"'{name}' ({reader.layout})" for name, reader in layouts if reader is not None]
    return f"Give one of its folders: {', '.join(readable)}" if readable else None
