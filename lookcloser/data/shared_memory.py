"""How many loading processes the shared memory has room for."""

from __future__ import annotations

import os

FOLDER = "/dev/shm"  # where Linux has it; containers often have 64 MB
_AHEAD = 2  # batches that each process makes ready before they are asked for
_SPARE = 1.25  # for the batch in hand and what else lies there


def affordable_workers(workers: int, batch_bytes: int) -> int:
    """``workers``, or as many as there is room for, with batches of ``batch_bytes``.

    A process that finds no room ends without the batch, and training would wait for it for ever.
    """
    try:
        status = os.statvfs(FOLDER)
    except (OSError, AttributeError):  # there is none: batches go another way
        return workers
    room = status.f_bavail * status.f_frsize
    return min(workers, int(room / (_SPARE * _AHEAD * max(1, batch_bytes))))
