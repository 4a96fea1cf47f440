"""Finding image files: folders, globs, single files, and near names for what is not there."""

from __future__ import annotations

import errno
import glob
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from lookcloser.core.errors import LookcloserError, close_matches

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Photos of phones: read where pillow-heif is installed (the extra "heic")."""

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    | (HEIC_SUFFIXES if importlib.util.find_spec("pillow_heif") else frozenset())
)
# What unpackers, cameras and file servers leave beside the images: previews and forks.
_CLUTTER = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "__pycache__"})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def own_path(path: str | Path) -> Path:
    """``path`` with a leading "~" or "~user" as that home folder; any other "~" is part of a name.

    `Path.expanduser` raises a RuntimeError for a file such as "~draft.jpg".

    Raises:
        LookcloserError: For what is no path: every one that a user gives goes through here.
    """
    refuse_other(path)
    return Path(os.path.expanduser(path))


def is_there(path: str | Path) -> bool:
    """Whether something is at ``path``; also False for a name that is too long for any disk.

    `Path.exists` raises an OSError for the latter.
    """
    return os.path.exists(path)


def missing_path(path: str | Path, kind: str = "file or folder") -> LookcloserError:
    """The error for a path that does not exist; offers near names in the folder where it ends.

    Or for one in a folder that nobody may look into: what is there is not known.
    """
    shown, path = path, Path(path)
    if os.path.islink(path):
        target = os.readlink(path)
        return LookcloserError(f"{shown}: a broken link, there is no '{target}'", fix="Remove it")
    parts = [path, *path.parents]
    for folder in parts[1:]:
        if os.path.isdir(folder) and not os.access(folder, os.X_OK):
            return unreadable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    # The first name that is wrong may be a folder further up: "dta/birds" for "data/birds".
    wrong = next((p for p in parts if not is_there(p) and os.path.isdir(p.parent)), path)
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(wrong.parent)
    others = [name for name in names if name != wrong.name]
    near = [wrong.with_name(name) for name in close_matches(wrong.name, others)]
    # Of names that look alike the one in which the rest of the path is found.
    rest = path.relative_to(wrong)
    whole = [found / rest for found in near if is_there(found / rest)]
    fix = f"Did you mean '{os.fspath((whole or near)[0])}'?" if near else None
    return LookcloserError(f"{shown}: no such {kind}", fix=fix)


def unreadable(path: str | Path, error: OSError) -> LookcloserError:
    """The error for a file or folder that the operating system does not let be read."""
    denied = error.errno in (errno.EACCES, errno.EPERM)
    return LookcloserError(
        f"{path}: cannot be read: {error.strerror or error}",
        fix="Ask its owner for the right to read it, or choose another place" if denied else None,
    )


def refuse_url(source: str | Path) -> None:
    """Raise a `LookcloserError` if ``source`` is a URL: nothing is downloaded unasked.

    Or if it is no path at all.
    """
    refuse_other(source)
    if isinstance(source, str) and _URL.match(source):
        raise LookcloserError(
            f"{source}: URLs are not read", fix="Download it first and give the file"
        )


def refuse_other(source: object) -> None:
    """Raise a `LookcloserError` for what is no path, such as None or an open file."""
    if not isinstance(source, str | os.PathLike):
        raise LookcloserError(f"{type(source).__name__}: not a path", allowed="A str or a Path")


def is_image_name(name: str) -> bool:
    """Whether a name ends like an image and is not hidden (``._a.jpg`` is a macOS leftover)."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES and not name.startswith(".")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no part of a data set: hidden, or left by another program."""
    return name.startswith(".") or name in _CLUTTER


def subfolders(folder: str | Path) -> list[str]:
    """The names of the folders in a folder, sorted, none hidden.

    Those of links to folders too, but not to this one, nor to one that it lies in.
    """
    with os.scandir(folder) as found:
        entries = [e for e in found if not is_hidden(e.name) and leads_to_folder(e)]
    if any(entry.is_symlink() for entry in entries):
        above = (_identity(folder), *_around(folder))
        entries = [e for e in entries if not e.is_symlink() or _identity(e.path) not in above]
    return sorted(entry.name for entry in entries)


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to itself leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def leads_to_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is an ordinary file or a link to one; a link to itself leads nowhere."""
    try:
        return entry.is_file()
    except OSError:
        return False


def walk_files(folder: str | Path) -> Iterator[str]:
    """Paths of the files below ``folder``, relative to it, "/" between names, in a fixed order.

    Links are followed, to each folder once and never to a folder above, nor to one that ``folder``
    itself lies in, so that folders that link to each other end. Hidden names (a leading dot) and
    what other programs leave (previews, resource forks) are passed over. Broken links are yielded:
    reading reports them.

    Raises:
        OSError: If a folder cannot be listed.
    """
    above: tuple[tuple[int, int], ...] = (_identity(folder), *_around(folder))
    linked: set[tuple[int, int]] = set()
    pending = [(os.fspath(folder), "", above, False)]
    while pending:
        path, prefix, above, by_link = pending.pop()
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if not leads_to_folder(entry):
                yield prefix + entry.name
                continue
            # DirEntry.inode() is that of a link itself, so the target is asked.
            key, through = _identity(entry.path), by_link or entry.is_symlink()
            if key in above or (through and key in linked):
                continue
            if through:
                linked.add(key)
            pending.append((entry.path, f"{prefix}{entry.name}/", (*above, key), through))


def _around(folder: str | Path) -> Iterator[tuple[int, int]]:
    """The folders that ``folder`` lies in, those that may be looked at."""
    for parent in Path(os.path.realpath(folder)).parents:
        with suppress(OSError):
            yield _identity(parent)


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def walk_images(folder: str | Path) -> Iterator[str]:
    """The files of `walk_files` that are named like images.

    Raises:
        OSError: If a folder cannot be listed.
    """
    return filter(lambda path: is_image_name(path.rpartition("/")[2]), walk_files(folder))


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
            images, a glob that matches nothing, a folder that cannot be listed.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    found = (path for source in several for path in _expand(source))
    return list(dict.fromkeys(found))


def _expand(source: str | Path) -> list[Path]:
    refuse_url(source)
    path = own_path(source)
    if os.path.isdir(path):
        photos = tuple(IMAGE_SUFFIXES | HEIC_SUFFIXES)  # without its extra, reading one says so
        try:
            images = [path / name for name in sorted(walk_files(path)) if _ends(name, photos)]
        except OSError as error:
            raise unreadable(error.filename, error) from error
        if not images:
            raise LookcloserError(
                f"{source}: no images in this folder",
                allowed=f"files that end in {' '.join(sorted(IMAGE_SUFFIXES))}",
            )
        return images
    if os.path.lexists(path):
        return [path]  # of a link that leads nowhere, reading says so
    if not glob.has_magic(str(path)):
        raise missing_path(source)
    matches = (Path(match) for match in sorted(_glob(str(path))))
    # Links that lead nowhere too: reading says so.
    images = [match for match in matches if is_image_name(match.name) and not match.is_dir()]
    if not images:
        raise LookcloserError(f"{source}: no image matches this pattern")
    return images


def _glob(pattern: str) -> Iterator[str]:
    """What a pattern stands for; behind ``**`` each folder is entered once, as `walk_files` does.

    Folders that link to each other have no end otherwise.
    """
    before, _, after = pattern.partition("**")
    if "**" not in pattern.split(os.sep) or (before and not before.endswith(os.sep)):
        yield from glob.iglob(pattern)
        return
    wanted = ("**", *filter(None, after.split(os.sep)))
    for folder in glob.iglob(before) if before else (".",):
        if os.path.isdir(folder):
            names = (name for name in walk_files(folder) if _fits(name.split("/"), wanted))
            yield from (os.path.join(before and folder, name) for name in names)


def _fits(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a path is one of a pattern, both in parts; ``**`` is any number of folders."""
    if not wanted:
        return not names
    if wanted[0] == "**":
        rest = wanted[1:] or ("*",)
        return any(_fits(names[first:], rest) for first in range(len(names)))
    return bool(names) and fnmatchcase(names[0], wanted[0]) and _fits(names[1:], wanted[1:])


def _ends(path: str, suffixes: tuple[str, ...]) -> bool:
    return path.lower().endswith(suffixes)
