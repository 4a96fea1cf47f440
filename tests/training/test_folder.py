"""The folder of a run: one training at a time, and nothing left of one that failed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.storage.locks import LOCK_FILE, only_one
from lookcloser.training.files import CONFIG_FILE
from lookcloser.training.folder import (
    new_run,
    old_run,
    point_latest,
    read_command,
    read_config,
    write_config,
)
from lookcloser.training.options import make_options

HOLDS = """
import sys
from pathlib import Path
from lookcloser.core.storage.locks import only_one
with only_one(Path(sys.argv[1]), "another training"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path: Path):
    """A folder in which another process is at work, and that process."""
    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield folder, process
        process.kill()


def test_default_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:  # all three at the same time
        names = [
            str(stack.enter_context(new_run(tmp_path / "birds", "cam", None))) for _ in range(3)
        ]
    assert names == ["runs/birds-cam", "runs/birds-cam-2", "runs/birds-cam-3"]


def test_two_trainings_do_not_share_a_folder(held) -> None:
    folder, process = held
    for enter in (lambda: new_run(folder, "cam", folder), lambda: old_run(folder)):
        with pytest.raises(LookcloserError, match="another training is at work in it"), enter():
            pass
    assert folder.is_dir(), "it belongs to the other one"
    process.kill()
    process.wait()
    with new_run(folder, "cam", folder):  # a killed process holds nothing
        pass


def test_the_lock_goes_with_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path, "another"):
            assert (tmp_path / LOCK_FILE).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_new_run_needs_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(LookcloserError), new_run(tmp_path, "cam", place):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "notes.txt"]


def test_what_a_volume_has_by_itself_does_not_count_and_stays(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()

    def fails(folder: Path) -> None:
        (folder / "tensorboard").mkdir()
        (folder / CONFIG_FILE).write_text("")
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"), new_run(tmp_path, "cam", tmp_path) as folder:
        fails(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["lost+found"]


def test_latest_is_a_convenience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only disk, or one without links, a run goes on without it."""
    folder = tmp_path / "run"
    folder.mkdir()

    def refuses(*_arguments: object, **_named: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("symlink_to", "unlink", "replace"):
        monkeypatch.setattr(Path, name, refuses)
    point_latest(folder)
    monkeypatch.undo()
    point_latest(folder)
    assert os.readlink(tmp_path / "latest") == "run"


def test_config_and_command_come_back(tmp_path: Path) -> None:
    options = make_options(epochs=3, mean=(0.1, 0.2, 0.3))
    write_config(tmp_path, tmp_path, options, "lookcloser train x")
    assert read_config(tmp_path) == (str(tmp_path), options)
    assert read_command(tmp_path) == "lookcloser train x"


@pytest.mark.parametrize("text", [b"", b"- a", b"\xff", b"data: 3", b"a: [", b"options: 3"])
def test_what_is_no_run_is_said(tmp_path: Path, text: bytes) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(text)
    with pytest.raises(LookcloserError, match=r"no readable config\.yaml in it"):
        read_config(tmp_path)
    assert read_command(tmp_path) == ""
    with pytest.raises(LookcloserError, match="no such run"):
        read_config(tmp_path / "nowhere")
