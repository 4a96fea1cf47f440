import errno
import os

import pytest

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.storage.atomic import make_folder, naming, refused, replacing, write_text


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


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    message = rf"could not be written \(there is a file {tmp_path}/file in its place\).*Move it"
    with pytest.raises(LookcloserError, match=message):
        write_text(tmp_path / "file" / "b.txt", "x")
    with pytest.raises(LookcloserError, match=message):
        make_folder(tmp_path / "file")


def test_a_folder_where_a_file_is_to_be_written_is_named(tmp_path):
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(LookcloserError, match=r"there is a folder .*b\.txt in its place"):
        write_text(tmp_path / "b.txt", "x")
    assert os.listdir(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_is_not_writable_has_nothing_to_do_with_space(tmp_path, number):
    with (
        pytest.raises(LookcloserError, match="not writable: .*permissions") as caught,
        replacing(tmp_path / "b.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert "space" not in str(caught.value)


def test_without_a_number_the_usual_reasons_are_named(tmp_path):
    with (
        pytest.raises(LookcloserError, match=r"\(I/O error\).*disk is full or the place read-only"),
        replacing(tmp_path / "b.txt"),
    ):
        raise OSError("I/O error")


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


def test_folders_are_made_with_those_above_them_and_kept_where_they_are(tmp_path):
    folder = make_folder(tmp_path / "a" / "b")
    (folder / "kept").touch()
    assert make_folder(str(folder)) == folder
    assert os.listdir(folder) == ["kept"]


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "target").read_text() == "old"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_text() == "new"


@pytest.mark.parametrize("name", ["n" * 255, "with blanks and 'quotes'", "ö\n鳥"])
def test_a_name_of_any_letters_and_as_long_as_the_system_allows(tmp_path, name):
    write_text(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]


def test_a_name_longer_than_that_is_an_error_of_ours_and_leaves_nothing(tmp_path):
    with pytest.raises(LookcloserError, match=r"could not be written \(File name too long\)"):
        write_text(tmp_path / ("n" * 256), "x")
    assert not os.listdir(tmp_path)


def test_two_writers_of_one_file_leave_one_of_both_whole(tmp_path):
    target = tmp_path / "b.txt"
    with replacing(target) as first, replacing(target) as second:
        assert first != second
        first.write_text("first" * 1000)
        second.write_text("second" * 1000)
    assert target.read_text() == "first" * 1000, "the one that ended last"
    assert os.listdir(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("kind", [LookcloserError, UsageError])
def test_what_is_wrong_with_the_temporary_file_is_said_of_the_one_that_was_asked_for(
    tmp_path, kind
):
    target = tmp_path / "b.txt"
    with pytest.raises(kind) as caught, replacing(target) as temporary:
        raise kind(f"{temporary}: too large", allowed="less", fix=f"Shrink {temporary} ({{}})",
                   option="size")  # fmt: skip
    said = f"{target}: too large. Allowed: less. Shrink {target} (size)."
    assert str(caught.value) == said
    assert caught.value.for_the_command_line() == said.replace("(size)", "(--size)")
    with pytest.raises(LookcloserError, match=r"^a\.jpg: broken") as other, replacing(target):
        raise LookcloserError("a.jpg: broken")
    assert other.value.__cause__ is None
    assert os.listdir(tmp_path) == []


def test_of_a_file_within_it_the_rest_of_the_name_stays(tmp_path):
    with (
        pytest.raises(LookcloserError, match="^page/model: could not be written"),
        naming(tmp_path / "tmp", "page"),
    ):
        raise refused(tmp_path / "tmp" / "model", OSError(errno.ENOSPC, "full"))
