"""The files that a list means: names without their folder or ending, or in another case.

A name that may be two files is refused, never guessed.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import is_image_name, walk_images
from lookcloser.core.wording import count, named
from lookcloser.data.readers.files import inside
from lookcloser.data.readers.tables.delimited import Table
from lookcloser.data.readers.tables.names import is_row_number
from lookcloser.data.readers.tables.places import image_root, named_split

_PROBES = 20


class ImageFinder:
    """Finds the images of lists below a folder, which is looked through once, when needed.

    Args:
        root: The folder that names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found: list[tuple[str, str]] = []
        self._by_stem: dict[str, list[str]] | None = None

    def find(self, names: Sequence[str], split: str | None, where: str) -> dict[str, str]:
        """Name -> path below the root of the image that it means; names of none stay as they are.

        Args:
            names: As `inside` returns them.
            split: Folders named after it come first.
            where: What errors name.

        Raises:
            LookcloserError: For a name that may be several images.
        """
        paths = {name: name for name in names}
        missing = [name for name in names if not os.path.isfile(self.root / name)]
        candidates = {name: self._candidates(name) for name in missing}
        votes = Counter(_folder(path, name) for name, found in candidates.items() for path in found)
        for name, found in candidates.items():
            if not found:
                continue
            own = [
                path for path in found if split and named_split(posixpath.dirname(path)) == split
            ]
            left = own or found
            most = max(votes[_folder(path, name)] for path in left)
            left = [path for path in left if votes[_folder(path, name)] == most]
            if len(left) > 1:
                raise LookcloserError(
                    f"{where}: '{name}' may be {named(left)}",
                    fix="Write the names with their folders and endings",
                )
            paths[name] = left[0]
            self.found.append((name, left[0]))
        return paths

    def notes(self) -> list[str]:
        """How names became paths, with an example."""
        if not self.found:
            return []
        name, path = self.found[0]
        return [f"{count(len(self.found), 'name')} looked up: '{name}' is '{path}'"]

    def _candidates(self, name: str) -> list[str]:
        if self._by_stem is None:
            self._by_stem = defaultdict(list)
            for path in sorted(walk_images(self.root)):
                self._by_stem[_key(posixpath.splitext(posixpath.basename(path))[0])].append(path)
        # As written, else as the URL that a web program made of it: "my%20cat.jpg".
        for key in dict.fromkeys((_key(name), _key(unquote(name)))):
            base = posixpath.basename(key)
            stem = posixpath.splitext(base)[0] if is_image_name(base) else base
            found = [path for path in self._by_stem.get(stem, ()) if _means(key, _key(path))]
            if found:
                return found
        return []


def column_of_files(table: Table) -> str | None:
    """The column whose cells name images that are there; None where none or several do.

    For tables whose column of images has a name of its own: a sample of the rows is looked up. A
    header that names an image is none: the table has no line of names.
    """
    if any(map(is_image_name, table.columns)):
        return None
    sample = [cells for _, cells in table.rows[:: max(1, len(table.rows) // _PROBES)]]
    finder = ImageFinder(image_root(table.path))
    columns = [column for column in table.columns if not is_row_number(column)]
    found = [c for c in columns if sample and _all_found(finder, [row[c] for row in sample])]
    return found[0] if len(found) == 1 else None


def _all_found(finder: ImageFinder, listed: Sequence[str]) -> bool:
    try:
        names = [inside(finder.root, name, "")[0] for name in listed]
        paths = finder.find(names, None, "") if all(listed) else {}
    except LookcloserError:
        return False
    return bool(paths) and all(os.path.isfile(finder.root / path) for path in paths.values())


def _key(name: str) -> str:
    """Equal for names that a person, or a Windows or macOS computer, takes for the same."""
    return unicodedata.normalize("NFC", name).casefold()


def _means(name: str, path: str) -> bool:
    """Whether a listed name stands for a path: it is its end, with or without the ending."""
    whole = path if is_image_name(posixpath.basename(name)) else posixpath.splitext(path)[0]
    return whole == name or whole.endswith(f"/{name}")


def _folder(path: str, name: str) -> str:
    """The folder that ``name`` is relative to where it stands for ``path``."""
    return "/".join(path.split("/")[: -len(name.split("/"))])
