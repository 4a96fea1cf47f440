"""Where results go: never over a file that this package did not make.

Images and pages carry a mark, by which they are known again and may be made again. Everything else
in their place is somebody's own, and stays.
"""

from __future__ import annotations

import errno
import os
import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.atomic import refused
from lookcloser.core.storage.files import own_path

MARK = "Made by lookcloser"
_ENDS = 8192  # bytes at the beginning and at the end of a file in which its mark stands


def mark(kind: str) -> dict[str, Any]:
    """What Pillow's ``save`` takes to put `MARK` into a file, for its name of a format.

    Empty for formats that have no place for it: a file of these is never written over.
    """
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("Software", MARK)
        return {"pnginfo": text}
    places = {"JPEG": "comment", "GIF": "comment", "TIFF": "software", "PDF": "creator"}
    if kind in places:
        return {places[kind]: MARK}
    if kind == "WEBP":
        from PIL import Image
        from PIL.ExifTags import Base

        exif = Image.Exif()
        exif[Base.Software] = MARK
        return {"exif": exif.tobytes()}
    return {}


def is_ours(path: str | Path) -> bool:
    """Whether a file carries `MARK`; False for what cannot be read, and for anything but a file."""
    path = Path(path)
    try:
        if not path.is_file():  # a pipe would never end
            return False
        with path.open("rb") as file:
            head = file.read(_ENDS)
            file.seek(max(0, path.stat().st_size - _ENDS))
            found = head + file.read(_ENDS)
    except OSError:
        return False
    return any(MARK.encode(form) in found for form in ("ascii", "utf-16-be"))


def check_place(path: str | Path) -> Path:
    """``path`` if a result may be written there; call it before the work, not after it.

    Raises:
        LookcloserError: If something is there that this package did not make, or nothing may be
            written in its folder.
    """
    path = own_path(path)
    if os.path.lexists(path) and not is_ours(path):
        kind = "folder" if path.is_dir() else "file"
        raise LookcloserError(
            f"{path}: there is a {kind} that lookcloser did not make",
            fix="Choose another name, or move it away",
        )
    folder = next(place for place in (*path.parents, Path()) if os.path.lexists(place))
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        raise refused(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)), kept="")
    return path


def free_place(path: str | Path, taken: set[str] | None = None) -> Path:
    """``path``, or with a number after its stem the first place beside it that is free.

    A place is free where nothing is, or an earlier result.

    Args:
        path: The place that is preferred.
        taken: What other results of the same work have been given; the answer is added. Names that
            differ only in case or in their Unicode form are one file on many disks, so they are
            one name here.
    """
    path, taken = Path(path), set() if taken is None else taken
    place, number = path, 2
    while _key(place) in taken or (os.path.lexists(place) and not is_ours(place)):
        place = path.with_name(f"{path.stem}_{number}{path.suffix}")
        number += 1
    taken.add(_key(place))
    return place


def check_fillable(path: str | Path) -> Path:
    """``path`` if files may be put into it beside what is there: a folder, or nothing yet.

    Raises:
        LookcloserError: If it, or what should be a folder above it, is something else.
    """
    path = Path(path)
    there = next(place for place in (path, *path.parents, Path()) if os.path.lexists(place))
    if not there.is_dir():
        raise LookcloserError(f"{there}: not a folder", fix="Choose another place")
    return path


def check_folder(path: str | Path, option: str, besides: Collection[str] = ()) -> Path:
    """``path`` if it may be filled with results: it is not there, or empty.

    What every disk has by itself (``lost+found``) does not count, nor do the names ``besides``.

    Raises:
        LookcloserError: If there is anything in it, or it is no folder.
    """
    path = Path(path)
    if os.path.lexists(path) and (not path.is_dir() or not is_empty(path, besides)):
        raise LookcloserError(
            f"{path}: exists already and is not empty", fix=f"Choose another {option}"
        )
    return path


def is_empty(folder: Path, besides: Collection[str] = ()) -> bool:
    """Whether nobody has put anything into a folder; names ``besides`` do not count."""
    return all(entry.name in {"lost+found", *besides} for entry in folder.iterdir())


def _key(path: Path) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(path)).casefold())
