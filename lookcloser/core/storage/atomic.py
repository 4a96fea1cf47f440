"""Writing so that a crash, a full disk or a kill leaves the old file or the new one, never half."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookcloser.core.errors import LookcloserError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IN_PLACE = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; it takes the place of ``path`` at the end.

    The data is on the disk (fsync) before the rename. When the block raises, ``path`` is as it was
    and the temporary file is gone.

    Raises:
        LookcloserError: When the operating system refuses, e.g. because the disk is full. One that
            is raised inside and names the temporary path names ``path`` instead.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not named after ``path``: a name as long as the system allows has no room for more.
        handle, name = tempfile.mkstemp(prefix=".lookcloser-", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise refused(path, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        with naming(temporary, path):
            yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(temporary: Path, path: str | Path) -> Iterator[None]:
    """Errors inside speak of ``path``, which was asked for, where they speak of ``temporary``."""
    try:
        yield
    except LookcloserError as error:
        if str(temporary) not in str(error):
            raise
        raise error.renamed(temporary, path) from error


def make_folder(path: str | Path) -> Path:
    """``path`` as a folder, made with those above it where it is not there; returns it.

    Raises:
        LookcloserError: When the operating system refuses, or a file is in its place.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(path, error) from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` atomically; see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def refused(
    path: Path, error: OSError, kept: str = "what was there before is kept"
) -> LookcloserError:
    """The error for what the operating system refused to write, with the way out of it.

    Args:
        path: What was to be written.
        error: What the system said.
        kept: What is not lost; "" says nothing about it.
    """
    reason = error.strerror or str(error)
    if error.errno in _NO_SPACE:
        fix = "Free space or choose another place, then run the same command again"
    elif error.errno in _IN_PLACE:
        reason = _obstacle(path)
        fix = "Move it away, or choose another place"
    elif error.errno in _NOT_WRITABLE:
        reason = f"not writable: {reason}"
        fix = "Choose another place, or change the permissions of this one"
    else:  # torch and safetensors tell no number
        fix = "See whether the disk is full or the place read-only, then run the same command again"
    what = f"{path}: could not be written ({reason})"
    return LookcloserError(f"{what}; {kept}" if kept else what, fix=fix)


def _obstacle(path: Path) -> str:
    """What is in the place of ``path``: a folder, or a file there or where a folder should be."""
    found = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
    return f"there is a {'folder' if found.is_dir() else 'file'} {found} in its place"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; not every file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
