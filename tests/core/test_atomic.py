import os

import pytest

from lookcloser.core.atomic import replacing, write_text
from lookcloser.core.errors import LookcloserError


def test_writes_and_makes_folders(tmp_path):
    target = tmp_path / "a" / "b.txt"
    write_text(target, "grün")
    assert target.read_text(encoding="utf-8") == "grün"
    assert os.listdir(target.parent) == ["b.txt"]


def test_an_exception_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "b.txt"
    write_text(target, "old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["b.txt"]


def test_a_full_disk_is_a_clear_error_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "b.txt"
    write_text(target, "old")
    with (
        pytest.raises(LookcloserError, match=r"b\.txt.*No space left.*kept.*Free space"),
        replacing(target),
    ):
        raise OSError(28, os.strerror(28))
    assert target.read_text() == "old"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LookcloserError, match="could not be written"):
        write_text(tmp_path / "file" / "b.txt", "x")


def test_the_data_is_synced_before_the_rename(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), real_fsync(handle))[1])
    monkeypatch.setattr(
        "pathlib.Path.replace",
        lambda self, target: (events.append("rename"), real_replace(self, target))[1],
    )
    write_text(tmp_path / "b.txt", "x")
    assert events[:2] == ["fsync", "rename"]


def test_permissions_are_those_of_an_ordinary_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
