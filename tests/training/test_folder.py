"""The folder of a run: one training at a time, and nothing left of one that failed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.storage.locks import LOCK_FILE, only_one
from lookcloser.training.files import CHECKPOINT_FILE, CONFIG_FILE, MODEL_FILE
from lookcloser.training.folder import (
    new_run,
    old_run,
    point_latest,
    read_command,
    read_config,
    typed_command,
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


@pytest.mark.parametrize(
    "text",
    [
        b"", b"- a", b"\xff", b"data: 3", b"a: [", b"options: 3", b"data: 2020-13-45", b"[" * 500,
        b"data: x\noptions: 3", b"data: x\noptions: [epochs, lr]", b"!!python/object:os.system {}",
    ],
)  # fmt: skip
def test_what_is_no_run_is_said(tmp_path: Path, text: bytes) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(text)
    with pytest.raises(LookcloserError, match=r"no readable config\.yaml in it"):
        read_config(tmp_path)
    assert read_command(tmp_path) == ""
    with pytest.raises(LookcloserError, match="no such run"):
        read_config(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{epoch: 3}", "epoch: unknown option of train. Close: epochs"),
        ("{1: 2}", "1: unknown option of train"),
        ("{epochs: many}", "epochs many: not possible"),
    ],
)
def test_options_of_a_run_that_cannot_be_are_named(
    tmp_path: Path, options: str, message: str
) -> None:
    (tmp_path / CONFIG_FILE).write_text(f"data: x\noptions: {options}")
    with pytest.raises(LookcloserError, match=message):
        read_config(tmp_path)
    assert read_command(tmp_path) == "", "of an older version"


def test_only_the_program_has_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/lookcloser", "train", "my data", "--epochs", "3"])
    assert typed_command() == "lookcloser train 'my data' --epochs 3"
    monkeypatch.setattr(sys, "argv", ["notebook.py", "train"])
    assert typed_command() == ""


def fail_in(out: Path, work: Callable[[Path], object]) -> None:
    """A new run in ``out`` that does some ``work`` and fails."""
    with new_run(out, "cam", out) as folder:
        work(folder)
        point_latest(folder)
        assert os.readlink(out.parent / "latest") == out.name
        raise ValueError("failed")


@pytest.mark.parametrize("kept", [MODEL_FILE, CHECKPOINT_FILE])
def test_what_can_be_used_or_resumed_stays_after_a_failure(tmp_path: Path, kept: str) -> None:
    out = tmp_path / "above" / "run"
    with pytest.raises(ValueError, match="failed"):
        fail_in(out, lambda folder: (folder / kept).touch())
    assert [file.name for file in out.iterdir()] == [kept], "without the lock"
    assert os.readlink(tmp_path / "above" / "latest") == "run"


def test_a_failure_takes_away_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    """Folders above that others use by now stay, and so does what a link in the run points at."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")

    def work(folder: Path) -> None:
        (folder / "logs").mkdir()
        (folder / "link").symlink_to(tmp_path / "mine", target_is_directory=True)
        (tmp_path / "a" / "other").mkdir()

    with pytest.raises(ValueError, match="failed"):
        fail_in(tmp_path / "a" / "b" / "run", work)
    assert [place.name for place in (tmp_path / "a").iterdir()] == ["other"]
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_latest_goes_back_to_the_run_before(tmp_path: Path) -> None:
    with new_run(tmp_path, "cam", tmp_path / "one") as folder:
        point_latest(folder)
    with pytest.raises(ValueError, match="failed"):
        fail_in(tmp_path / "two", lambda folder: (folder / CONFIG_FILE).touch())
    assert os.readlink(tmp_path / "latest") == "one"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["latest", "one"]


def test_a_file_of_the_users_called_latest_stays(tmp_path: Path) -> None:
    (tmp_path / "latest").write_text("mine")
    (tmp_path / "run").mkdir()
    point_latest(tmp_path / "run")
    assert (tmp_path / "latest").read_text() == "mine"


def test_a_pipe_in_the_place_of_the_options_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / CONFIG_FILE)
    with pytest.raises(LookcloserError, match="not an ordinary file"):
        read_config(tmp_path)
    assert read_command(tmp_path) == ""
