"""Class folders: ``cat/1.jpg``, with or without ``train``, ``val`` and ``test`` above them.

Or trees of them, ``cats/lion/1.jpg``: the lowest folders are the classes, those above are kept as
their parents. Folders that are named like parts of a data set (``train_images``, ``masks``) are no
classes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import (
    is_image_name,
    leads_to_folder,
    list_images,
    subfolders,
    walk_images,
)
from lookcloser.core.wording import count, named, some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.masks import MASKS
from lookcloser.data.readers.tables.places import (
    ROLES,
    is_part,
    named_split,
    without_split,
    words_of,
)
from lookcloser.data.splits import SPLIT_OF

LAYOUT = "class folders"

DEEPEST = 6


def recognizes(root: Path) -> bool:
    """A folder whose subfolders hold images, or hold such class folders and are named as splits.

    Not one with more images directly in it than it has classes: that is a collection of images
    with a folder or two beside them.
    """
    classes = class_names(root) if root.is_dir() else []
    return bool(classes) and len(_images_directly(root)) <= len(classes)


def class_names(root: Path) -> list[str]:
    """The classes of all splits, sorted; empty where there are no class folders."""
    places = list(_split_folders(root)) or [""]
    leaves = {leaf for place in places for leaf in _class_folders(root / place)}
    return sorted(_labels(leaves).values())


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read class folders; every image below a class folder belongs to that class.

    Args:
        root: The folder that holds the class folders or the splits.
        skip_missing: Without effect: what is listed by the folder is there.

    Raises:
        LookcloserError: If two folders are the same split, such as ``val`` and ``valid``.
    """
    places = split_places(root, _split_folders(root))
    leaves = {place: _class_folders(root / place) for place in places.values()}
    labels = _labels({leaf for found in leaves.values() for leaf in found})
    return as_catalog(root, places, leaves, labels, _parents(labels))


def split_places(root: Path, folders: Mapping[str, str]) -> dict[str | None, str]:
    """Split -> its folder below ``root``, "" for the root itself, which is no split or is one.

    Args:
        root: As of `read`.
        folders: Folder -> split, see `split_of`.

    Raises:
        LookcloserError: If two folders are the same split.
    """
    places: dict[str | None, str] = {split: folder for folder, split in folders.items()}
    if len(places) < len(folders):
        several = ", ".join(folder.split("/")[0] for folder in folders)
        raise LookcloserError(f"{root}: {several}: several folders of one split", fix="Merge them")
    # Of the part of a data set that is given by itself, "birds/test", all is that part.
    return places or {SPLIT_OF.get(root.absolute().name.lower()): ""}


def as_catalog(
    root: Path,
    splits: Mapping[str | None, str],
    leaves: Mapping[str, Sequence[str]],
    labels: Mapping[str, str],
    parents: Mapping[str, str],
) -> Catalog:
    """The images of class folders.

    Args:
        root: As of `read`.
        splits: Split -> folder below ``root``, "" for the root itself.
        leaves: Such a folder -> the class folders below it.
        labels: Class folder -> class.
        parents: Class or group -> the group above it, "" at the top.
    """
    samples = tuple(
        Sample(name=name, source=path, labels=(labels[leaf],), split=split)
        for split, place in splits.items()
        for leaf in leaves[place]
        for name, path in _images_below(root, f"{place}/{leaf}" if place else leaf)
    )
    names = tuple(sorted({sample.labels[0] for sample in samples}))
    return Catalog(
        root,
        LAYOUT,
        "classification",
        names,
        samples,
        notes=tuple(_notes(root, names, parents)),
        parents={name: parent for name, parent in parents.items() if parent},
    )


def _notes(root: Path, names: Sequence[str], parents: Mapping[str, str]) -> Iterator[str]:
    loose = _images_directly(root)
    if loose:
        yield f"{some(loose, 'image')} in no class folder: left out"
    groups = sorted(set(parents.values()) - {""})
    if groups:
        yield (
            f"Folders in folders: the {count(len(names), 'class')} are the lowest ones, in "
            f"{count(len(groups), 'group')} ({named(groups)})"
        )
    parts = [name for name in names if is_part(name)]
    if parts:
        yield f"Named like a part of a data set, but read as a class: {named(parts)}"
    elif all(named_split(name) for name in names):
        yield f"Named after a split, but read as classes: {named(names)}"


def _images_below(root: Path, folder: str) -> Iterator[tuple[str, Path]]:
    """(name, path) of every image below ``root / folder``."""
    for image in list_images(root / folder):
        yield f"{folder}/{image}", root / folder / image


def _labels(leaves: set[str]) -> dict[str, str]:
    """Class folder, such as "cats/lion", -> class: its name, or the path where that is taken."""
    own = Counter(leaf.rpartition("/")[2] for leaf in leaves)
    groups = {part for leaf in leaves for part in leaf.split("/")[:-1]}
    return {
        leaf: name if own[name] == 1 and name not in groups else leaf
        for leaf in sorted(leaves)
        for name in [leaf.rpartition("/")[2]]
    }


def _parents(labels: dict[str, str]) -> dict[str, str]:
    """Class or group -> the group above it, "" at the top; none where there are no groups.

    A folder that all classes are in is what an archive was unpacked to, and no group.
    """
    parents: dict[str, str] = {}
    around = levels_of_all([leaf.split("/")[:-1] for leaf in labels])
    for leaf, label in labels.items():
        *above, _ = leaf.split("/")
        if above[around:]:
            groups = ["/".join(above[: number + 1]) for number in range(around, len(above))]
            parents |= dict(zip((*groups, label), ("", *groups), strict=True))
    return parents


def levels_of_all(groups: Sequence[Sequence[str]]) -> int:
    """How many folders, from the top, all classes share."""
    levels = zip(*groups, strict=False)
    return sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, levels))


def _split_folders(root: Path) -> dict[str, str]:
    """Folder -> split, for folders named as a split that hold class folders, or hold one that does.

    "seg_train/seg_train" is one, as unpacked archives have it.
    """
    found = {}
    names = subfolders(root)
    for name in names:
        split = split_of(name, names)
        if split is None:
            continue
        inner = subfolders(root / name)
        wrapped = len(inner) == 1 and (inner[0] == name or is_part(inner[0]))
        if wrapped and not holds_images(root / name):
            place = f"{name}/{inner[0]}"
            if not holds_images(root / place) and _class_folders(root / place):
                found[place] = split
        elif _class_folders(root / name):
            found[name] = split
    return found


def split_of(name: str, beside: Sequence[str] = ()) -> str | None:
    """The split that a folder's name says, looking at the names beside it; None for any other.

    "train", "train_images" and "test1" say it; "seg_train" does beside "seg_test". "train_station"
    and "test_tube" are classes.
    """
    if name.lower() in SPLIT_OF:
        return SPLIT_OF[name.lower()]
    split = named_split(name)
    if split is None:
        return None
    rest = words_of(without_split(name))
    family = any(
        words_of(without_split(other)) == rest and named_split(other) not in (None, split)
        for other in beside
    )
    return split if family or ROLES.issuperset(rest) else None


def _class_folders(root: Path) -> list[str]:
    """Paths of the folders that are classes, below ``root``; none where it is something else.

    A class folder has images in it, or, as in Tiny ImageNet, all of them one folder further down.
    Where none of the folders has images in it and several folders further down have, those are the
    classes, unless they repeat in every folder.
    """
    tree = {
        name: with_images(root / name)
        for name in subfolders(root)
        if not (name == MASKS and _repeats(root))
    }
    tree = {name: inner for name, inner in tree.items() if inner or holds_images(root / name)}
    if not tree or all(is_part(name) or split_of(name, list(tree)) for name in tree):
        return []
    inner_names = [sub for inner in tree.values() for sub in inner]
    direct = [name for name in tree if holds_images(root / name)]
    deep = [inner for name, inner in tree.items() if name not in direct]
    if any(split_of(sub, inner) for inner in deep for sub in inner):
        return []
    if all(len(inner) == 1 for inner in deep):
        alone = len(tree) == 1 and not direct
        return [] if alone else sorted(tree)
    leaves = [] if direct else _leaves(root, "")
    repeated = Counter(leaf.rpartition("/")[2] for leaf in leaves)
    doubled = sum(number for number in repeated.values() if number > 1)
    parts = any(is_part(name) for name in (*tree, *inner_names))
    return [] if parts or 2 * doubled > len(leaves) else leaves


def _leaves(root: Path, folder: str) -> list[str]:
    """The folders below with images in them, all at one depth; [] where they are at several."""
    level = [folder]
    for _ in range(DEEPEST):
        level = [
            f"{above}/{name}" if above else name
            for above in level
            for name in with_images(root / above)
        ]
        direct = [place for place in level if holds_images(root / place)]
        if direct:
            return level if len(direct) == len(level) else []
    return []


def with_images(folder: Path) -> list[str]:
    """Subfolders with an image anywhere below."""
    return [name for name in subfolders(folder) if any(islice(walk_images(folder / name), 1))]


def _repeats(root: Path) -> bool:
    """Whether the folder of masks has no other subfolders than those beside it: then no class."""
    inner, beside = subfolders(root / MASKS), subfolders(root)
    return bool(inner) and set(inner) <= set(beside) - {MASKS}


def holds_images(folder: Path) -> bool:
    """Whether an image is directly in a folder; looks no further than to the first."""
    with os.scandir(folder) as entries:
        return any(is_image_name(e.name) and not leads_to_folder(e) for e in entries)


def _images_directly(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if is_image_name(e.name) and not leads_to_folder(e))
