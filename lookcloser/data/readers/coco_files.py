"""Which JSON files of a folder are COCO's, of which task and split.

As published (``annotations/instances_train2017.json`` beside ``train2017/``), as one file beside
its images, or as one file in each of the folders ``train``, ``valid`` and ``test``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.choices import Task
from lookcloser.data.readers.json_files import is_json_name, json_files, mentioned
from lookcloser.data.readers.tables.places import named_split, without_split
from lookcloser.data.splits import SPLIT_OF

_ANNOTATIONS = "annotations"


@dataclass(frozen=True)
class CocoFile:
    """A file that holds objects ("multilabel") or captions, and the split its name says."""

    path: Path
    task: Task
    split: str | None


def base_folder(root: Path) -> Path:
    """The folder that holds images and annotations."""
    folder = root.parent if root.is_file() else root
    return folder.absolute().parent if folder.absolute().name == _ANNOTATIONS else folder


def find_files(root: Path) -> list[CocoFile]:
    """The files of COCO's kinds in a folder; of a file itself with those of the other splits."""
    if root.is_dir():
        return [file for path, split in _candidates(root) if (file := _look(path, split))]
    if not is_json_name(root.name):
        return []
    given = _look(root, named_split(root.stem))
    if given is None or given.split is None:
        return [given] if given else []
    family = without_split(root.stem)
    related = [path for path in json_files(root.parent) if without_split(path.stem) == family]
    beside = (_look(path, named_split(path.stem)) for path in related if path.name != root.name)
    files = [given, *(file for file in beside if file and file.task == given.task)]
    # The same order, and so the same names, whichever of them was given.
    return sorted(files, key=lambda file: file.path.name)


def _candidates(root: Path) -> Iterator[tuple[Path, str | None]]:
    """JSON files and the split that their name, or else their folder, says."""
    with os.scandir(root) as entries:
        named = sorted(entry.name for entry in entries if entry.name.lower() in SPLIT_OF)
    splits = [(root / name, SPLIT_OF[name.lower()]) for name in named]
    for folder, split in [(root, None), (root / _ANNOTATIONS, None), *splits]:
        for path in json_files(folder):
            yield path, named_split(path.stem) or split


def _look(path: Path, split: str | None) -> CocoFile | None:
    """What a JSON file holds, by the keys in it; None if something else."""
    signs = mentioned(path, ("images", "annotations", "categories", "category_id", "caption"))
    if not signs >= {"images", "annotations"}:
        return None
    if "caption" in signs and "category_id" not in signs:
        return CocoFile(path, "captioning", split)
    return CocoFile(path, "multilabel", split) if "categories" in signs else None


def preferred(files: list[CocoFile]) -> list[CocoFile]:
    """Objects before captions; among objects the files called so before key points and others."""
    objects = [file for file in files if file.task == "multilabel"]
    called = [file for file in objects if file.path.name.startswith("instances")]
    return called or objects or files
