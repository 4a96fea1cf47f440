"""One process at a time in a folder."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.atomic import refused

LOCK_FILE = ".lock"
_HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


@contextmanager
def only_one(folder: Path, what: str, name: str = LOCK_FILE) -> Iterator[None]:
    """Hold ``folder`` for the block; the system lets go of it however the process ends.

    Processes that are started from this one do not hold it, so nothing they do keeps it. On a disk
    that knows no locks nothing is held.

    Args:
        folder: It has to be there.
        what: Who else may be in it, for the error, e.g. ``"another training"``.
        name: Of the file that is locked; those who share a folder lock one each.

    Raises:
        LookcloserError: If another process holds it, or it cannot be written to.
    """
    file = folder / name
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise refused(file, error) from error
    try:
        # Who held it before may have removed the file that was opened here.
        if not _take(handle) or not _is_same(handle, file):
            raise LookcloserError(
                f"{folder}: {what} is at work in it",
                fix="Wait until it ends, or choose another --out",
            )
        try:
            yield
        finally:
            with suppress(OSError):
                file.unlink()
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    """Whether this process holds the lock now, or the disk knows none."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Not flock: a lock of that kind goes to loading processes, which outlive a kill.
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


def _is_same(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except OSError:
        return False
