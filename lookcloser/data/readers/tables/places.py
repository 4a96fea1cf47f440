"""Where the images of a list are: lists name files, and people put the files where they like."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lookcloser.core.storage.files import subfolders, walk_images
from lookcloser.data.splits import SPLIT_OF

_PROBES = 20
_MOST_FOLDERS = 1000
# What a folder of one kind of file is called, in words: such a folder is no class.
ROLES = frozenset(
    {"annotation", "annotations", "anns", "bbox", "bboxes", "boxes", "csv", "data", "dataset"}
    | {"datasets", "folder", "gt", "ground", "truth", "groundtruth", "image", "images", "img"}
    | {"imgs", "input", "jpeg", "jpegimages", "jpegs", "jpg", "json", "label", "labels", "mask"}
    | {"masks", "photo", "photos", "pic", "pics", "picture", "pictures", "png", "raw", "sample"}
    | {"samples", "seg", "segmentation", "segmentations", "set", "split", "splits", "xml", "all"}
    | {"pred", "preds", "prediction", "predictions", "unlabeled", "unlabelled"}
)


def image_folder(root: Path, names: Sequence[str], split: str | None = None) -> str:
    """The folder below ``root`` that file names are relative to, looked for two levels deep.

    A sample of the names is tried: the first folder that has half of them is taken, else the one
    that has most.

    Args:
        root: The folder of the data set.
        names: Names as `inside` returns them, none of which leads upwards.
        split: Folders named after this split (``train2017``) are tried first: ``train/1.jpg`` and
            ``val/1.jpg`` may be two images.

    Returns:
        The folder relative to ``root``; "" for ``root`` itself and where no name is found.
    """
    probe = names[:: max(1, len(names) // _PROBES)]
    folders = list(islice(_folders(root), _MOST_FOLDERS))
    if split is not None:
        folders.sort(key=lambda folder: named_split(posixpath.basename(folder)) != split)
    best, most = "", 0
    for folder in folders:
        found = sum(os.path.isfile(root / folder / name) for name in probe)
        if found > most:
            best, most = folder, found
        if 2 * most >= len(probe):
            break
    return best


def image_root(table: Path) -> Path:
    """The folder that holds a table and its images.

    That of the table, or, where that has no images and is named after what a table is (``labels``,
    ``annotations``), the one around it.
    """
    folder = table.absolute().parent
    around = (
        is_part(folder.name) and not any(walk_images(folder)) and any(walk_images(folder.parent))
    )
    return table.parent.parent if around and table.parent.name else table.parent


def words_of(name: str) -> list[str]:
    """The words of a name in lower case, without digits and signs."""
    return re.findall(r"[a-z]+", name.lower())


def is_part(name: str) -> bool:
    """Whether a name says what part of a data set a folder is, or what kind of file it holds."""
    words = words_of(name)
    return bool(words) and all(word in ROLES or word in SPLIT_OF for word in words)


def named_split(name: str) -> str | None:
    """The split that a name contains as a word: ``instances_train2017`` is train."""
    word = _split_word(name)
    return SPLIT_OF[word.group().lower()] if word else None


def without_split(name: str) -> str:
    """The name with the word of its split cut out: what the files of all splits have in common."""
    word = _split_word(name)
    return name[: word.start()] + name[word.end() :] if word else name


def _split_word(name: str) -> re.Match[str] | None:
    words = re.finditer(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return next((word for word in words if word.group().lower() in SPLIT_OF), None)


def _folders(root: Path) -> Iterator[str]:
    """``root`` as "", then its folders, then the folders in them, each level sorted."""
    level = [""]
    for _ in range(3):
        yield from level
        level = [
            posixpath.join(folder, name) for folder in level for name in subfolders(root / folder)
        ]
