"""Class folders for a model whose classes have groups: read by the tree that it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from lookcloser.core.storage.files import subfolders
from lookcloser.data.catalog import Catalog
from lookcloser.data.names import tidy_name
from lookcloser.data.readers.folders import (
    DEEPEST,
    as_catalog,
    holds_images,
    levels_of_all,
    split_of,
    split_places,
    with_images,
)
from lookcloser.data.readers.tables.places import is_part


def read_known_tree(root: Path, names: Sequence[str], parents: Mapping[str, str]) -> Catalog | None:
    """Class folders, with or without group folders above them, as the whole tree would have them.

    A few folders of a tree do not show by themselves which of them are classes: "warblers/green"
    alone could be a class whose images lie one folder further down. Beside the classes and groups
    of a model they do: a folder without images in it is a group, unless it is a class of the model
    or holds but parts of a data set ("images"). Folders around a known group that all classes are
    in are no groups.

    Args:
        root: The folder that holds them, or the splits.
        names: Of the model's classes.
        parents: Class or group of the model -> the group above it.

    Returns:
        A catalog in which known classes have the model's names, as have known groups. A folder
        that is named like a group, but has images in it, is a class of that name. None where no
        folder has images.

    Raises:
        LookcloserError: If two folders are the same split.
    """
    tree = _Tree(frozenset(names), parents)
    places = split_places(root, _splits(root))
    leaves = {place: list(tree.leaves(root / place)) for place in places.values()}
    every = list(dict.fromkeys(leaf for found in leaves.values() for leaf in found))
    if not every:
        return None
    found = tree.named(every)
    above: dict[str, str] = {}
    for one in found.values():
        if one.groups:
            above |= dict(zip((*one.groups, one.label), ("", *one.groups), strict=True))
    labels = {leaf: one.label for leaf, one in found.items()}
    return as_catalog(root, places, leaves, labels, above)


def _splits(root: Path) -> dict[str, str]:
    """Folder -> split, for folders named as a split that have folders with images in them."""
    beside = subfolders(root)
    named = {name: split_of(name, beside) for name in beside}
    return {
        name: split
        for name, split in named.items()
        if split is not None and not holds_images(root / name) and with_images(root / name)
    }


class _Named(NamedTuple):
    label: str
    groups: tuple[str, ...]  # from the highest to the lowest


@dataclass(frozen=True)
class _Tree:
    names: frozenset[str]
    parents: Mapping[str, str]

    @cached_property
    def groups(self) -> frozenset[str]:
        return frozenset(self.parents.values())

    def leaves(self, root: Path, above: str = "") -> Iterator[str]:
        """The paths of the class folders below a folder, in order."""
        for name in with_images(root / above):
            path = f"{above}/{name}" if above else name
            if self._is_class(root, path):
                yield path
            else:
                yield from self.leaves(root, path)

    def _is_class(self, root: Path, path: str) -> bool:
        if holds_images(root / path) or path.count("/") >= DEEPEST:
            return True
        if self._group(tidy_name(path)) is not None:
            return False
        own = tidy_name(path.rpartition("/")[2])
        return own in self.names or all(map(is_part, with_images(root / path)))

    def named(self, leaves: Sequence[str]) -> dict[str, _Named]:
        """The class and the groups of each class folder."""
        paths = {leaf: [tidy_name(part) for part in leaf.split("/")] for leaf in leaves}
        start = self._start([path[:-1] for path in paths.values()])
        groups = {leaf: tuple(self._groups(path[start:-1])) for leaf, path in paths.items()}
        known = {leaf: self._known(path[-1], groups[leaf]) for leaf, path in paths.items()}
        new = Counter(path[-1] for leaf, path in paths.items() if known[leaf] is None)
        # As in a whole tree: the name of a folder, or its path where something else is called so.
        every = {*self.names, *self.groups, *(one for chain in groups.values() for one in chain)}
        taken = {name.rpartition("/")[2] for name in every}
        labels = {
            leaf: "/".join((*groups[leaf][-1:], path[-1]))
            if new[path[-1]] > 1 or path[-1] in taken
            else path[-1]
            for leaf, path in paths.items()
        }
        return {leaf: _Named(known[leaf] or labels[leaf], chain) for leaf, chain in groups.items()}

    def _start(self, chains: Sequence[Sequence[str]]) -> int:
        """How many of the folders that all classes are in are around a known group."""
        for start in range(levels_of_all(chains) + 1):
            inner = (chain[start:] for chain in chains)
            if any(self._group(path) for chain in inner for path in _growing(chain)):
                return start
        return 0

    def _groups(self, chain: Sequence[str]) -> Iterator[str]:
        above = ""
        for path, own in zip(_growing(chain), chain, strict=True):
            above = self._group(path) or (f"{above}/{own}" if above else own)
            yield above

    def _group(self, path: str) -> str | None:
        """The model's group of that path, or the only one whose path ends so."""
        if path in self.groups:
            return path
        ends = [group for group in self.groups if group.endswith(f"/{path}")]
        return ends[0] if len(ends) == 1 else None

    def _known(self, own: str, groups: Sequence[str]) -> str | None:
        """The model's name of a class, or of the group that a class folder is named like."""
        if groups and f"{groups[-1]}/{own}" in self.names:
            return f"{groups[-1]}/{own}"
        if own in self.names:
            same = not groups or self.parents.get(own, groups[-1]) == groups[-1]
            return own if same else None
        return None if groups else self._group(own)


def _growing(chain: Iterable[str]) -> Iterator[str]:
    """Of a, b and c: "a", "a/b", "a/b/c"."""
    path = ""
    for name in chain:
        path = f"{path}/{name}" if path else name
        yield path
