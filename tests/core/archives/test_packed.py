"""One file inside an archive: small, read anew each time, and never opened by its name."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from lookcloser.core.archives import Packed
from lookcloser.core.errors import LookcloserError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(200)))
    return path


def test_it_is_the_bytes_at_its_place(archive: Path) -> None:
    assert Packed(archive, "a.jpg", 10, 3).read() == bytes([10, 11, 12])
    assert Packed(archive, "a.jpg", 200, 0).read() == b""
    sent = pickle.loads(pickle.dumps(Packed(archive, "a.jpg", 199, 1)))
    assert sent == Packed(archive, "a.jpg", 199, 1)
    assert sent.read() == bytes([199])
    assert len(pickle.dumps(sent)) < 300, "it holds no bytes of the archive"


def test_threads_share_no_position(archive: Path) -> None:
    parts = [Packed(archive, str(at), at, 1) for at in range(200)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(Packed.read, parts)) == [bytes([at]) for at in range(200)]


@pytest.mark.parametrize(("offset", "size"), [(199, 2), (200, 1), (10**9, 5)])
def test_an_archive_that_became_shorter_is_named(archive: Path, offset: int, size: int) -> None:
    with pytest.raises(LookcloserError, match=r"a\.tar/b\.jpg: the archive ends before"):
        Packed(archive, "b.jpg", offset, size).read()


def test_an_archive_that_is_gone_or_a_folder_is_named(archive: Path, tmp_path: Path) -> None:
    archive.unlink()
    with pytest.raises(LookcloserError, match=r"a\.tar/b\.jpg: cannot be read: No such file"):
        Packed(archive, "b.jpg", 0, 1).read()
    with pytest.raises(LookcloserError, match="cannot be read: Is a directory"):
        Packed(tmp_path, "b.jpg", 0, 1).read()


def test_its_name_is_shown_and_cannot_be_changed(archive: Path) -> None:
    packed = Packed(archive, "../../etc/passwd", 0, 4)
    assert str(packed) == f"{archive}/../../etc/passwd"
    assert packed.read() == bytes(range(4))
    with pytest.raises(FrozenInstanceError):
        packed.name = "b"  # type: ignore[misc]  # that is what is tried
