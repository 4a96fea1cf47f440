"""Results never take the place of somebody's own file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.drawing import save_image
from lookcloser.core.outputs import check_fillable, check_folder, check_place, free_place, is_ours

PICTURE = Image.new("RGB", (40, 30), "teal")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".gif", ".tif", ".pdf"])
def test_own_images_are_known_again_and_others_are_not(tmp_path: Path, ending: str) -> None:
    own, foreign = tmp_path / f"own{ending}", tmp_path / f"foreign{ending}"
    save_image(PICTURE, own)
    PICTURE.save(foreign)
    assert is_ours(own)
    assert not is_ours(foreign)
    assert check_place(own) == own
    with pytest.raises(LookcloserError, match=r"foreign.*lookcloser did not make.*another name"):
        check_place(foreign)


def test_a_format_without_a_place_for_the_mark_is_never_written_over(tmp_path: Path) -> None:
    save_image(PICTURE, tmp_path / "a.bmp")
    assert not is_ours(tmp_path / "a.bmp")
    assert free_place(tmp_path / "a.bmp") == tmp_path / "a_2.bmp"


def test_what_is_no_file_is_not_ours(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("pipe", "link", "missing"):
        assert not is_ours(tmp_path / name)
    with pytest.raises(LookcloserError, match="there is a folder"):
        check_place(tmp_path)
    with pytest.raises(LookcloserError, match="link: there is a file"):
        check_place(tmp_path / "link")


def test_a_long_file_is_read_at_its_ends_only(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 50_000 + b"Made by lookcloser" + b"x" * 50_000)
    assert not is_ours(tmp_path / "long")


def test_names_that_one_disk_takes_for_the_same_are_numbered(tmp_path: Path) -> None:
    taken: set[str] = set()
    names = ["a.png", "A.png", "caf\u00e9.png", "cafe\u0301.png", "a_2.png", "b.png"]
    places = [free_place(tmp_path / name, taken).name for name in names]
    assert places == ["a.png", "A_2.png", "caf\u00e9.png", "cafe\u0301_2.png", "a_2_2.png", "b.png"]
    assert len({place.casefold() for place in places}) == len(names)


def test_an_original_in_the_folder_stays_and_a_result_is_made_anew(tmp_path: Path) -> None:
    original = tmp_path / "a.png"
    PICTURE.save(original)
    before = original.read_bytes()
    place = free_place(original)
    save_image(PICTURE, place)
    assert (place.name, original.read_bytes()) == ("a_2.png", before)
    assert free_place(original) == place, "the second time it is known"


def test_a_folder_to_fill_has_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    assert check_folder(tmp_path / "volume", "--out") == tmp_path / "volume"
    assert check_folder(tmp_path / "new", "--out") == tmp_path / "new"
    with pytest.raises(LookcloserError, match=r"exists already and is not empty.*another --out"):
        check_folder(tmp_path, "--out")
    (tmp_path / "file").write_text("")
    with pytest.raises(LookcloserError, match="not empty"):
        check_folder(tmp_path / "file", "--out")


def test_a_file_that_cannot_be_looked_into_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_image(PICTURE, tmp_path / "a.png")
    assert is_ours(tmp_path / "a.png")

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    assert not is_ours(tmp_path / "a.png")
    with pytest.raises(LookcloserError, match="lookcloser did not make"):
        check_place(tmp_path / "a.png")


def test_names_besides_do_not_count_and_a_hidden_one_does(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    with pytest.raises(LookcloserError, match="not empty"):
        check_folder(tmp_path, "--out")
    assert check_folder(tmp_path, "--out", besides=[".lock"]) == tmp_path
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(LookcloserError, match="not empty"):
        check_folder(tmp_path, "--out", besides=[".lock"])


def test_a_link_to_an_empty_folder_is_one_and_a_broken_link_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "good").symlink_to("empty")
    (tmp_path / "broken").symlink_to("nothing")
    assert check_folder(tmp_path / "good", "--out") == tmp_path / "good"
    with pytest.raises(LookcloserError, match="broken: exists already"):
        check_folder(tmp_path / "broken", "--out")


def test_a_folder_to_put_files_into_may_have_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "new" / "deep", "new", "."):
        assert check_fillable(place) == Path(place)
    for place in ("file", "file/new/deep", tmp_path / "file" / "new"):
        with pytest.raises(LookcloserError, match="file: not a folder"):
            check_fillable(place)


def test_a_place_has_its_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_place("~/a.png") == tmp_path / "a.png"
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(LookcloserError, match=r"did not make\. Choose another name"):
        check_place("~/a.png")


def test_a_folder_in_which_nothing_may_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(LookcloserError, match=r"a\.png: could not be written \(not writable: Perm"):
        check_place(tmp_path / "a.png")
    with pytest.raises(LookcloserError, match="not writable"):
        check_place(tmp_path / "new" / "deep" / "a.png")
    (tmp_path / "own").mkdir()
    assert check_place(tmp_path / "own" / "a.png") == tmp_path / "own" / "a.png"
