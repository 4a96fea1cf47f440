"""Finding image files: folders, globs, single files, and near names for what is not there."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lookcloser.core.errors import LookcloserError, close_matches

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def missing_path(path: str | Path, kind: str = "file or folder") -> LookcloserError:
    """The error for a path that does not exist; offers near names in the folder where it ends."""
    shown, path = path, Path(path)
    parts = [path, *path.parents]
    # The first name that is wrong may be a folder further up: "dta/birds" for "data/birds".
    wrong = next((p for p in parts if not p.exists() and p.parent.is_dir()), path)
    names = os.listdir(wrong.parent) if wrong.parent.is_dir() else []
    near = [os.fspath(wrong.with_name(name)) for name in close_matches(wrong.name, names, 1)]
    fix = f"Did you mean '{near[0]}'?" if near else None
    return LookcloserError(f"{shown}: no such {kind}", fix=fix)


def refuse_url(source: str | Path) -> None:
    """Raise a `LookcloserError` if ``source`` is a URL: nothing is downloaded unasked."""
    if isinstance(source, str) and _URL.match(source):
        raise LookcloserError(
            f"{source}: URLs are not read", fix="Download it first and give the file"
        )


def is_image_name(name: str) -> bool:
    """Whether a name ends like an image and is not hidden (``._a.jpg`` is a macOS leftover)."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def walk_images(folder: str | Path) -> Iterator[str]:
    """Paths of the images below ``folder``, relative to it, "/" between names, in no order.

    Links are followed; a link back to a folder above itself is not entered. Hidden names (a leading
    dot) are passed over. Broken links with an image's name are yielded: decoding reports them.

    Raises:
        OSError: If a folder cannot be listed.
    """
    root = os.stat(folder)
    above: tuple[tuple[int, int], ...] = ((root.st_dev, root.st_ino),)
    pending = [(os.fspath(folder), "", above)]
    while pending:
        path, prefix, above = pending.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    # DirEntry.inode() is that of a link itself, so the target is asked.
                    status = entry.stat()
                    key = (status.st_dev, status.st_ino)
                    if key not in above:
                        pending.append((entry.path, f"{prefix}{entry.name}/", (*above, key)))
                elif is_image_name(entry.name):
                    yield prefix + entry.name


def list_images(folder: str | Path) -> list[str]:
    """`walk_images`, sorted by path."""
    return sorted(walk_images(folder))


def find_images(sources: str | Path | Iterable[str | Path]) -> list[Path]:
    """The image files that ``sources`` stand for.

    Args:
        sources: One or several of: a file (taken whatever its ending), a folder (every image below
            it, sorted), a glob such as ``"birds/*.jpg"`` or ``"birds/**/*.jpg"`` (sorted).

    Returns:
        In the order of ``sources``; a file that is named twice comes once.

    Raises:
        LookcloserError: For a URL, a path that does not exist (with near names), a folder without
            images, a glob that matches nothing.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    found = (path for source in several for path in _expand(source))
    return list(dict.fromkeys(found))


def _expand(source: str | Path) -> list[Path]:
    refuse_url(source)
    path = Path(source).expanduser()
    if path.is_dir():
        images = [path / name for name in list_images(path)]
        if not images:
            raise LookcloserError(
                f"{source}: no images in this folder",
                allowed=f"files that end in {' '.join(sorted(IMAGE_SUFFIXES))}",
            )
        return images
    if path.exists():
        return [path]
    if not glob.has_magic(str(path)):
        raise missing_path(source)
    matches = (Path(match) for match in sorted(glob.glob(str(path), recursive=True)))
    images = [match for match in matches if match.is_file() and is_image_name(match.name)]
    if not images:
        raise LookcloserError(f"{source}: no image matches this pattern")
    return images
