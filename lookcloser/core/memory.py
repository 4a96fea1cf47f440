"""Memory that one batch frees is kept for the next, where the C library would give it back.

glibc maps a large block anew for each use and unmaps it afterwards, and the kernel clears every
page of it again at its first touch. Where page faults are expensive, as on virtual machines, that
takes as long as the arithmetic.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of malloc.h
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}
# What glibc arrives at by itself, once blocks of its largest threshold were freed.
_USUAL = {_MMAP_MAX: 1 << 16, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
_SETTINGS = (
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
)
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_SPARE = 1.5  # times the most memory so far: blocks that are kept fit later ones loosely

_library: ContextVar[ctypes.CDLL | None] = ContextVar("library", default=None)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, memory that is freed stays with this process; afterwards it is given back.

    Nothing changes without glibc, where the caller has set its allocator up, and where the address
    space is limited.
    """
    found = _glibc() if _library.get() is None else None
    if found is None:  # or another is around this one
        yield
        return
    before = _library.set(found)
    try:
        keep(True)
        yield
    finally:
        keep(False)
        _library.reset(before)


def keep(kept: bool) -> None:
    """Switch within `kept_memory`; without it nothing happens.

    Args:
        kept: Whether memory that is freed stays with this process.
    """
    library = _library.get()
    if library is None:
        return
    for name, value in (_KEPT if kept else _USUAL).items():
        library.mallopt(name, value)
    if not kept:
        library.malloc_trim(0)


def has_room() -> bool:
    """Whether this process could hold half as much again as it held at most so far.

    Where the system does not tell, it could not.
    """
    if not sys.platform.startswith("linux"):
        return True
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        held = pages * resource.getpagesize()
        return held + min(_free(), _limit() - held) >= _SPARE * most
    except OSError:
        return False


def _free() -> float:
    """Bytes that this machine could still give out."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return float("inf")


def _limit() -> float:
    """Bytes that a container may hold."""
    for path in _LIMITS:
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return float("inf")


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc and may be told what to do."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SETTINGS):
        return None
    import resource

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
