"""Freed memory is kept while that is asked for, and given back afterwards."""

import ctypes
import resource
import sys
from pathlib import Path

import pytest

from lookcloser.core import memory
from lookcloser.core.memory import has_room, keep, kept_memory

BLOCK = 80 << 20  # above what glibc ever keeps by itself


class Library:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def mallopt(self, name: int, value: int) -> int:
        self.told.append((name, value))
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.told.append("trimmed")
        return 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    found = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: found)
    return found


KEPT: list[object] = [(-4, 0), (-1, -1)]
USUAL: list[object] = [(-4, 1 << 16), (-3, 32 << 20), (-1, 64 << 20), "trimmed"]


def test_memory_is_kept_within_and_given_back_afterwards(library: Library) -> None:
    with kept_memory():
        assert library.told == KEPT
    assert library.told == KEPT + USUAL


def test_it_is_given_back_after_an_error(library: Library) -> None:
    with pytest.raises(RuntimeError), kept_memory():
        raise RuntimeError
    assert library.told == KEPT + USUAL


def test_one_within_another_changes_nothing(library: Library) -> None:
    with kept_memory():
        with kept_memory():
            pass
        assert library.told == KEPT
    assert library.told == KEPT + USUAL


def test_it_can_be_switched_within_alone(library: Library) -> None:
    keep(True)
    keep(False)
    assert library.told == []
    with kept_memory():
        keep(False)
        keep(True)
    assert library.told == KEPT + USUAL + KEPT + USUAL


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"])
def test_what_the_caller_has_set_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert memory._glibc() is None
    with kept_memory():
        assert memory._library.get() is None


def test_a_limited_address_space_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 << 30, resource.RLIM_INFINITY))
    assert memory._glibc() is None


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert memory._glibc() is None
    assert has_room()


@pytest.fixture
def glibc() -> ctypes.CDLL:
    found = memory._glibc()
    if found is None:
        pytest.skip("another C library, or settings of its own")
    found.malloc.restype = ctypes.c_void_p
    found.free.argtypes = [ctypes.c_void_p]
    found.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    return found


def test_the_kernel_clears_no_page_twice(glibc: ctypes.CDLL) -> None:
    with kept_memory():
        _use(glibc)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            _use(glibc)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        held = _held()
    assert faults < BLOCK // resource.getpagesize() // 4
    assert _held() < held - BLOCK // 2, "and it is given back"


def _use(library: ctypes.CDLL) -> None:
    block = library.malloc(BLOCK)
    library.memset(block, 1, BLOCK)
    library.free(block)


def _held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="no /proc")
@pytest.mark.parametrize(("free", "limit"), [("_free", "_limit"), ("_limit", "_free")])
def test_there_is_room_for_half_as_much_again(
    monkeypatch: pytest.MonkeyPatch, free: str, limit: str
) -> None:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    monkeypatch.setattr(memory, limit, lambda: 1 << 60)
    monkeypatch.setattr(memory, free, lambda: 2 * most)
    assert has_room()
    monkeypatch.setattr(memory, free, lambda: most // 4)
    assert not has_room()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nothing is kept elsewhere")
def test_a_system_that_does_not_tell_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed() -> float:
        raise PermissionError

    monkeypatch.setattr(memory, "_free", closed)
    assert not has_room()


def test_the_limit_of_a_container_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_limit, limit = tmp_path / "memory.max", tmp_path / "limit"
    no_limit.write_text("max\n")
    monkeypatch.setattr(memory, "_LIMITS", (str(no_limit), str(limit)))
    assert memory._limit() == float("inf")
    limit.write_text("4096\n")
    assert memory._limit() == 4096
