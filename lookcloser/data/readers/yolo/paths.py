"""Where images and labels are: descriptions are copied from computer to computer with their data.

What they list is looked for inside the folder that was given, and nowhere else.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from pathlib import Path

from lookcloser.data.readers.files import plain_path


def find_listed(
    root: Path,
    listed: str,
    where: str,
    is_it: Callable[[Path], bool] = os.path.exists,
    beside: str = "",
) -> str | None:
    """The longest end of a listed path that is there below ``root``.

    "/content/birds/images/train" and "../birds/images/train" are "images/train" there.

    Args:
        root: The folder that was given.
        listed: As written.
        where: The place it is written at.
        is_it: What is looked for.
        beside: The folder below ``root`` of the list, which a path may be relative to.

    Returns:
        The path relative to ``root``, "" for ``root`` itself; None where nothing is there.

    Raises:
        LookcloserError: For a URL.
    """
    name, whole = plain_path(listed, where), root.absolute().as_posix()
    below = posixpath.relpath(posixpath.join(whole, name), whole)
    if below == ".":
        return ""
    if not below.startswith("../"):
        name = below
    parts = [part for part in name.split("/") if part and part != ".."]
    ends = ["/".join(parts[first:]) for first in range(len(parts))]
    tried = [f"{beside}/{ends[0]}", *ends] if beside and ends else ends
    return next((end for end in tried if "\0" not in end and is_it(root / end)), None)


def label_of(image: str) -> str:
    """The label file of an image: the last folder ``images`` is ``labels``; else both lie together.

    As in the programs of the YOLO family. Paths are relative to the root of the data set.
    """
    stem = posixpath.splitext(f"/{image}")[0]
    before, found, after = stem.rpartition("/images/")
    return (f"{before}/labels/{after}" if found else stem)[1:] + ".txt"


def labels_of(folder: str) -> str:
    """The folder with the labels of the images in a folder."""
    return posixpath.dirname(label_of(join(folder, "image")))


def join(folder: str, name: str) -> str:
    """``folder/name``; of the root, which is "", the name alone."""
    return posixpath.join(folder, name) if folder else name
