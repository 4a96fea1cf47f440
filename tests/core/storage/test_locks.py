"""One process at a time in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.locks import LOCK_FILE, only_one

TRY = """
import sys
from pathlib import Path
from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.locks import only_one
try:
    with only_one(Path(sys.argv[1]), "another test", *sys.argv[2:]):
        print("held")
except LookcloserError as error:
    print(error)
"""


def tried(folder: Path, *name: str) -> str:
    """What another process says that wants the folder."""
    words = [sys.executable, "-c", TRY, str(folder), *name]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_another_process_is_kept_out_until_the_end(tmp_path: Path) -> None:
    with only_one(tmp_path, "another test"):
        assert (tmp_path / LOCK_FILE).exists()
        said = tried(tmp_path)
        assert said.startswith(f"{tmp_path}: another test is at work in it")
        assert "choose another --out" in said
        assert tried(tmp_path, "other") == "held", "those who share a folder lock one each"
    assert not (tmp_path / LOCK_FILE).exists()
    assert tried(tmp_path) == "held"


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), only_one(tmp_path, "another test"):
        raise RuntimeError("inside")
    assert tried(tmp_path) == "held"
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_left_behind_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).touch()
    with only_one(tmp_path, "another test"):
        pass
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_file_that_was_replaced_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lookcloser.core.storage import locks

    take = locks._take

    def replaced(handle: int) -> bool:
        (tmp_path / LOCK_FILE).unlink()  # by the process that held it until now
        return take(handle)

    monkeypatch.setattr(locks, "_take", replaced)
    with (
        pytest.raises(LookcloserError, match="is at work in it"),
        only_one(tmp_path, "another test"),
    ):
        pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(LookcloserError, match=r"gone"),
        only_one(tmp_path / "gone", "another test"),
    ):
        pass
