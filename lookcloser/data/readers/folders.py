"""Class folders: ``cat/1.jpg``, with or without ``train``, ``val`` and ``test`` above them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.files import is_image_name, list_images, walk_images
from lookcloser.core.wording import some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.splits import SPLIT_OF

MASKS = "masks"  # a folder that repeats the others, with a mask for each image


def recognises(root: Path) -> bool:
    """A folder whose subfolders hold images, or hold such class folders and are named as splits.

    Not one with more pictures directly in it than it has classes: that is a collection of pictures
    with a folder or two beside them.
    """
    classes = class_names(root) if root.is_dir() else []
    return bool(classes) and len(_images_directly(root)) <= len(classes)


def class_names(root: Path) -> list[str]:
    """The classes of all splits, sorted; empty where there are no class folders."""
    places = [root / folder for folder in _split_folders(root)] or [root]
    return sorted({name for place in places for name in _class_folders(place)})


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read class folders; every image below a class folder belongs to that class.

    Args:
        root: The folder that holds the class folders or the splits.
        skip_missing: Without effect: what is listed by the folder is there.

    Raises:
        LookcloserError: If two folders are the same split, such as ``val`` and ``valid``.
    """
    splits = _split_folders(root)
    parts: dict[str | None, str] = {split: folder for folder, split in splits.items()}
    if len(parts) < len(splits):
        raise LookcloserError(
            f"{root}: {', '.join(splits)}: several folders of one split", fix="Merge them"
        )
    samples = tuple(
        Sample(name=name, source=path, labels=(label,), split=split)
        for split, folder in (parts or {None: ""}).items()
        for name, path, label in _labelled(root, folder)
    )
    names = tuple(sorted({sample.labels[0] for sample in samples}))
    loose = _images_directly(root)
    notes = (f"{some(loose, 'image')} in no class folder: left out",) if loose else ()
    return Catalog(root, "class folders", "classification", names, samples, notes=notes)


def _labelled(root: Path, part: str) -> Iterator[tuple[str, Path, str]]:
    """(name, path, label) of every image in the class folders of ``root / part``."""
    prefix = f"{part}/" if part else ""
    for label in _class_folders(root / part):
        folder = root / part / label
        for image in list_images(folder):
            yield f"{prefix}{label}/{image}", folder / image, label


def _split_folders(root: Path) -> dict[str, str]:
    """Folder name -> split, for folders named as a split that hold class folders."""
    named = {name: SPLIT_OF[name.lower()] for name in _subfolders(root) if name.lower() in SPLIT_OF}
    return {name: split for name, split in named.items() if _class_folders(root / name)}


def _class_folders(root: Path) -> list[str]:
    """Subfolders that hold images; none at all where one of them is no class but a data set.

    A class folder has images in it, or, as in Tiny ImageNet, all of them one folder further down.
    Subfolders named as splits are never classes unless other classes stand beside them.
    """
    classes = []
    for name in _subfolders(root):
        if name == MASKS and _repeats(root):
            continue
        folder = root / name
        if _images_directly(folder):
            classes.append(name)
            continue
        deeper = [sub for sub in _subfolders(folder) if any(walk_images(folder / sub))]
        if len(deeper) > 1 or any(sub.lower() in SPLIT_OF for sub in deeper):
            return []
        classes += [name] if deeper else []
    return classes if any(name.lower() not in SPLIT_OF for name in classes) else []


def _repeats(root: Path) -> bool:
    """Whether the folder of masks has no other subfolders than those beside it: then no class."""
    inner, beside = _subfolders(root / MASKS), _subfolders(root)
    return bool(inner) and set(inner) <= set(beside) - {MASKS}


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _images_directly(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if not e.is_dir() and is_image_name(e.name))
