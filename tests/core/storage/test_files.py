import errno
import glob
import io
import os
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.storage.files import (
    find_images,
    is_image_name,
    is_there,
    list_images,
    missing_path,
    own_path,
    refuse_url,
    subfolders,
    unreadable,
    walk_images,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["b.jpg", "a.PNG", "sub/c.jpeg", "sub/deep/d.webp", "notes.txt", ".hidden.jpg"]
    names += ["sub/._c.jpeg", ".cache/e.jpg", "jpg"]
    for name in names:
        path = tmp_path / "Pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "Pets"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("A.JPEG", True),
        ("archive.tar.png", True),
        ("jpg", False),
        ("a.jpg.txt", False),
        (".jpg", False),
        ("._a.jpg", False),
        ("a.", False),
        ("", False),
    ],
)
def test_image_names(name: str, expected: bool) -> None:
    assert is_image_name(name) is expected


def test_a_folder_is_listed_to_the_bottom_sorted_without_hidden_names(folder: Path) -> None:
    assert list_images(folder) == ["a.PNG", "b.jpg", "sub/c.jpeg", "sub/deep/d.webp"]
    assert find_images(folder) == [folder / name for name in list_images(folder)]


def test_a_link_to_a_folder_is_followed_and_a_loop_is_not(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.jpg").write_bytes(b"x")
    (folder / "linked").symlink_to(other)
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "again").symlink_to(folder / "sub" / "deep")
    (folder / "sub" / "up").symlink_to(tmp_path)
    (folder / "root").symlink_to("/")
    assert list_images(folder) == [
        "a.PNG",
        "again/d.webp",
        "b.jpg",
        "linked/z.jpg",
        "sub/c.jpeg",
        "sub/deep/d.webp",
    ]


def test_subfolders_are_those_of_links_too_but_for_loops(folder: Path, tmp_path: Path) -> None:
    assert subfolders(folder) == ["sub"]
    other = tmp_path / "other"
    other.mkdir()
    (folder / "linked").symlink_to(other)
    for name, target in (("up", ".."), ("here", "."), ("root", "/"), ("nowhere", "none")):
        (folder / name).symlink_to(target)
    assert subfolders(folder) == ["linked", "sub"]


def test_a_broken_link_is_listed_so_that_it_can_be_reported(folder: Path) -> None:
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    assert "gone.jpg" in list_images(folder)


def test_files_folders_and_globs_in_the_order_given_each_file_once(folder: Path) -> None:
    found = find_images([folder / "sub", str(folder / "*.jpg"), folder / "b.jpg", folder / "a.PNG"])
    assert [path.name for path in found] == ["c.jpeg", "d.webp", "b.jpg", "a.PNG"]


def test_a_glob_of_two_stars_goes_to_the_bottom(folder: Path) -> None:
    found = find_images(str(folder / "**" / "*.*"))
    assert [path.name for path in found] == ["a.PNG", "b.jpg", "c.jpeg", "d.webp"]


def test_a_file_is_taken_whatever_its_ending_and_whatever_signs_are_in_it(folder: Path) -> None:
    odd = folder / "a[1]*.dat"
    odd.write_bytes(b"x")
    assert find_images(str(odd)) == [odd]


@pytest.mark.parametrize("url", ["https://example.org/a.jpg", "s3://bucket/a.jpg", "FILE:///a"])
def test_urls_are_refused(url: str) -> None:
    with pytest.raises(LookcloserError, match=r"URLs are not read\. Download it first"):
        find_images([url])


def test_what_is_not_there_comes_with_a_near_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LookcloserError) as caught:
        find_images(tmp_path / "pets")
    expected = f"{tmp_path}/pets: no such file or folder. Did you mean '{tmp_path}/Pets'?"
    assert str(caught.value) == expected
    with pytest.raises(LookcloserError, match=r"Did you mean '.*/Pets/b\.jpg'\?"):
        find_images(folder / "bb.jpg")


@pytest.mark.parametrize("given", [None, 3, ["a"], b"a"])
def test_what_is_no_path_is_refused_by_its_type(given: Any) -> None:
    with pytest.raises(LookcloserError, match=f"{type(given).__name__}: not a path"):
        own_path(given)


def test_a_near_name_may_be_further_up(folder: Path, tmp_path: Path) -> None:
    error = missing_path(tmp_path / "Pts" / "nowhere" / "c.jpeg")
    assert str(error).endswith(f"Did you mean '{folder}'?")


def test_of_near_folders_the_one_that_holds_the_rest_is_meant(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "my runs" / "latest").mkdir(parents=True)
    error = missing_path(tmp_path / "runs" / "latest")
    assert str(error).endswith(f"Did you mean '{tmp_path}/my runs/latest'?")


def test_relative_names_stay_relative(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert str(missing_path("pets")) == "pets: no such file or folder. Did you mean 'Pets'?"


def test_without_anything_near_nothing_is_offered(tmp_path: Path) -> None:
    assert str(missing_path(tmp_path / "x", "file")) == f"{tmp_path}/x: no such file."


def test_a_folder_without_images_names_the_endings(tmp_path: Path) -> None:
    with pytest.raises(
        LookcloserError, match=r"no images in this folder. Allowed: files that end in .*\.jpg"
    ):
        find_images(tmp_path)


def test_a_glob_without_a_match_is_an_error(folder: Path) -> None:
    with pytest.raises(LookcloserError, match="no image matches"):
        find_images(str(folder / "*.bmp"))
    with pytest.raises(LookcloserError, match="no image matches"):
        find_images(str(folder / "*.txt"))


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    folders = [tmp_path / f"d{i}" for i in range(9)]
    for folder in folders:
        folder.mkdir()
        (folder / "x.png").write_bytes(b"x")
    for folder in folders:
        for other in folders:
            if other != folder:
                (folder / f"to-{other.name}").symlink_to(other)
    found = list_images(tmp_path)
    # Each really, and at most once more through a link.
    assert {f"d{i}/x.png" for i in range(9)} <= set(found)
    assert len(found) <= 18


def test_a_link_that_leads_nowhere_is_said_not_proposed(tmp_path: Path) -> None:
    link = tmp_path / "z.jpg"
    link.symlink_to("/no/where.jpg")
    assert find_images(link) == [link]
    message = str(missing_path(link))
    assert message == f"{link}: a broken link, there is no '/no/where.jpg'. Remove it."
    assert "Did you mean" not in message


def test_a_link_to_itself_is_a_broken_one(tmp_path: Path) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to("loop.png")
    (tmp_path / "a.png").write_bytes(b"x")
    assert list_images(tmp_path) == ["a.png", "loop.png"]
    assert "a broken link" in str(missing_path(loop))


def test_a_near_name_is_never_the_name_itself(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert "Did you mean" not in str(missing_path(tmp_path / "a" / "b"))


def test_what_other_programs_leave_is_passed_over(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/@eaDir/1.jpg", "__MACOSX/a/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_images(tmp_path) == ["a/1.jpg"]


def test_photos_of_phones_are_found_so_that_reading_can_say_what_they_need(
    tmp_path: Path,
) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"x")
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert [path.name for path in find_images(tmp_path)] == ["IMG_1.HEIC", "a.jpg"]


def test_globs_end_where_folders_link_to_each_other(tmp_path: Path) -> None:
    for name in "abcdefghi":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").touch()
    for name in "abcdefghi":
        for other in "abcdefghi".replace(name, ""):
            (tmp_path / name / f"to_{other}").symlink_to(f"../{other}")
    assert len(find_images(f"{tmp_path}/**/*.png")) <= 18


@pytest.mark.parametrize(
    "pattern", ["**/*.jpg", "a/**", "a/**/c.*", "**/b/*.jpg", "*/*.jpg", "[ax]/**/*.jpg", "./**/a"]
)
def test_globs_stand_for_what_python_takes_them_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("1.jpg", "a/2.jpg", "a/b/c.jpg", "x/b/4.jpg", "x/notes.md", "a/b/a/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    wanted = [name for name in glob.glob(pattern, recursive=True) if name.endswith(".jpg")]
    if wanted:
        assert sorted(map(str, find_images(pattern))) == sorted(str(Path(name)) for name in wanted)
    else:
        with pytest.raises(LookcloserError, match="no image matches"):
            find_images(pattern)


def test_a_glob_keeps_what_cannot_be_read_so_that_it_is_said(folder: Path) -> None:
    (folder / "z.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "folder.jpg").mkdir()
    assert [path.name for path in find_images(str(folder / "*.jpg"))] == ["b.jpg", "z.jpg"]


@pytest.mark.parametrize("given", [None, 3, b"a.jpg", io.BytesIO(b"x")])
def test_what_is_no_path_is_said(given: Any) -> None:
    with pytest.raises(LookcloserError, match="not a path. Allowed: a str or a Path"):
        refuse_url(given)
    refuse_url("a.jpg")
    refuse_url(Path("a.jpg"))


def test_a_home_folder_is_found_and_any_other_tilde_is_part_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert own_path("~") == tmp_path
    assert own_path("~/a.jpg") == tmp_path / "a.jpg"
    for name in ("~draft.jpg", "~nobody-of-this-name/a.jpg", "a~b.jpg"):
        assert own_path(name) == Path(name)
    (tmp_path / "~draft.jpg").write_bytes(b"x")
    assert find_images("~draft.jpg") == find_images("~*.jpg") == [Path("~draft.jpg")]


@pytest.mark.parametrize("name", ["a" * 300 + ".jpg", "a/" * 3000 + "b.jpg", "a\0b.jpg"])
def test_a_name_that_no_disk_can_hold_is_not_there(name: str) -> None:
    assert not is_there(name)
    assert "no such file" in str(missing_path(name))
    with pytest.raises(LookcloserError, match="no such file"):
        find_images(name)


def test_links_are_there_where_they_lead_somewhere(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    for name, target in (("good", "a.jpg"), ("broken", "b.jpg"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
    assert [is_there(tmp_path / name) for name in ("good", "broken", "loop", "none")] == [
        True, False, False, False,
    ]  # fmt: skip


def test_names_of_any_writing_are_listed_once_and_in_one_order(tmp_path: Path) -> None:
    names = ["Ä.jpg", "a b.jpg", "a'b.jpg", "a\nb.jpg", "[1].jpg", "ö/*.jpg", "鳥.PNG"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_images(tmp_path) == sorted(names)
    assert set(walk_images(tmp_path)) == set(names)
    every = find_images([tmp_path, tmp_path / "[1].jpg", f"{tmp_path}/ö/[*].jpg"])
    assert every == [tmp_path / name for name in sorted(names)]


def test_many_sources_are_looked_for_before_any_is_taken(folder: Path) -> None:
    with pytest.raises(LookcloserError, match=r"c\.jpg: no such file or folder"):
        find_images([folder / "b.jpg", folder / "c.jpg"])
    assert find_images(iter([folder / "b.jpg"])) == [folder / "b.jpg"]
    assert find_images([]) == []


def test_what_may_not_be_read_is_no_matter_of_being_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    said = str(unreadable("a.jpg", denied))
    assert said.startswith("a.jpg: cannot be read: Permission denied. Ask its owner")
    assert str(unreadable("a.jpg", OSError(errno.EIO, "I/O"))) == "a.jpg: cannot be read: I/O."
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("Pets"))
    assert str(missing_path(folder / "no.jpg")).startswith(f"{folder}: cannot be read: Permission")


def test_a_folder_that_may_not_be_listed_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(LookcloserError, match=r"Pets/sub: cannot be read: Permission denied"):
        find_images(folder)
