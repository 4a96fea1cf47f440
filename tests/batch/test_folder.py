"""The folder of the answers: what a break leaves is read as far as it is whole."""

import json
import os
from pathlib import Path

import pytest

from lookcloser.batch.folder import Finished, Folder, Manifest
from lookcloser.batch.forms import FORMS
from lookcloser.batch.sources import Item, Part
from lookcloser.core import LookcloserError
from lookcloser.core.storage.locks import LOCK_FILE

PART = Part(12, tuple(Item(index, Path(f"{index}.png")) for index in (7, 8, 9)))


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "out", FORMS["jsonl"])
    made.begin({"top": 5})
    return made


def line(index):
    return json.dumps({"index": index, "error": None})


def leave(folder, name, content, part=PART):
    """What a process that was killed left behind."""
    path = folder.work / f"{folder.file(part).stem}.{name}.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_part_is_a_file_of_its_number_and_its_images(folder):
    assert folder.file(PART).name == f"part-000012-{PART.digest}.jsonl"
    assert folder.digests() == {}
    folder.finish(PART, [line(index) for index in (7, 8, 9)])
    assert folder.digests() == {12: PART.digest}
    assert folder.counted(12, PART.digest) == Finished(12, 3, 0)
    million = Folder(folder.path, FORMS["csv"]).file(Part(1_234_567, PART.items))
    assert million.name == f"part-1234567-{PART.digest}.csv"


@pytest.mark.parametrize(
    "name", ["{stem}.jsonl.gz", "{stem}.csv", "{stem}", "a-{stem}.jsonl", "{stem}.jsonl~"]
)
def test_only_files_of_this_form_are_parts(folder, name):
    (folder.path / name.format(stem=folder.file(PART).stem)).write_bytes(b"")
    assert folder.digests() == {}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", []),
        (f"{line(7)}\n{line(9)}\n", [7, 9]),
        (f"{line(7)}\n{line(8)}", [7]),
        (f"{line(7)}\n{line(8)[:9]}", [7]),
        (f"{line(8)}\n{line(6)}\n{line(9)}\n", [8]),
        (f"{line(8)}\n5\n{line(9)}\n", [8]),
        (f"{line(8)}\n{{}}\n{line(9)}\n", [8]),
        (line(7).encode() + b"\n\xff\xfe\n" + line(8).encode() + b"\n", [7]),
        (b"\0" * 4096, []),
    ],
)
def test_whole_lines_up_to_the_first_that_is_torn_are_taken_over(folder, content, found):
    leave(folder, "a", content)
    assert folder.recovered(PART) == {index: line(index) for index in found}


def test_what_several_have_left_of_a_part_is_put_together(folder):
    leave(folder, "a", f"{line(7)}\n{line(8)}\n{line(9)[:4]}")
    leave(folder, "b", f"{line(9)}\n")
    leave(folder, "c", f"{line(8)}\n", Part(12, PART.items[:2]))  # of other images
    assert sorted(folder.recovered(PART)) == [7, 8, 9]
    folder.finish(PART, [line(index) for index in (7, 8, 9)])
    assert [file.name.split(".")[1] for file in folder.work.iterdir()] == ["c"]


def test_beginnings_in_vain_are_counted(folder):
    assert folder.vain(PART) == 0
    leave(folder, "a", "")
    leave(folder, "b", line(7))
    leave(folder, "c", "")
    leave(folder, "d", "", Part(1, PART.items))
    assert folder.vain(PART) == 2
    there = folder._journals(PART)
    folder._journals = lambda _part: [*there, folder.work / "finished by another in between"]
    assert folder.vain(PART) == 2


def test_lines_are_with_the_system_before_the_next_image(folder):
    with folder.journal(PART) as journal:
        journal.add([line(7), line(8)])
        assert sorted(folder.recovered(PART)) == [7, 8], "before it is closed"
    full, said = OSError(28, "No space left on device"), "No space left .*; what is done is kept"
    with pytest.raises(LookcloserError, match=said), folder.journal(PART):
        raise full


def test_a_folder_is_gone_on_with_only_as_it_was_begun(folder):
    folder.begin({"top": 5})
    with pytest.raises(LookcloserError, match=r"another top \(5, now 3\).*the same as before"):
        folder.begin({"top": 3})
    with pytest.raises(LookcloserError, match=r"begun with another maps \(None, now True\)"):
        folder.begin({"top": 5, "maps": True})
    for broken in (b"", b"[1]", b"\xff", b'{"top": 5'):
        (folder.path / "batch.json").write_bytes(broken)
        with pytest.raises(LookcloserError, match=r"batch.json: cannot be read .*Choose another"):
            folder.begin({"top": 5})


def test_what_processes_leave_that_begin_at_once_is_nobodys(tmp_path):
    out = tmp_path / "out"
    (out / ".work").mkdir(parents=True)
    for name in (".lookcloser-1a.tmp", f"{LOCK_FILE}-1-of-2"):
        (out / name).write_bytes(b"")
    Folder(out, FORMS["jsonl"]).begin({})
    assert json.loads((out / "batch.json").read_text()) == {}
    (out / "batch.json").unlink()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(LookcloserError, match="exists already and is not empty. Choose another"):
        Folder(out, FORMS["jsonl"]).begin({})


def test_sweeping_leaves_the_answers(folder):
    leave(folder, "a", line(7))
    (folder.path / ".lookcloser-1a.tmp").write_bytes(b"")
    (folder.path / "summary.json").write_text("{}")
    folder.sweep()
    assert sorted(os.listdir(folder.path)) == ["batch.json", "summary.json"]
    assert folder.recovered(PART) == {}, "another process may still look"
    folder.sweep()  # or sweep as well


LISTED = b'{"number": 1, "images": 2, "failed": 0}\n'


@pytest.mark.parametrize("torn", [b"", b'{"num', b'{"number": 2, "images": 2, "failed": 0}'])
@pytest.mark.parametrize("whole", [b"", LISTED, LISTED * 2])
def test_a_torn_line_of_the_list_is_cut_off_before_the_next(tmp_path, whole, torn):
    path = tmp_path / "manifest"
    path.write_bytes(whole + torn)
    manifest = Manifest(path)
    assert path.read_bytes() == whole
    manifest.add(Finished(3, 9, 1))
    found = list(Manifest.read(path))
    assert found == [(1, Finished(1, 2, 0))] * len(whole.splitlines()) + [(3, Finished(3, 9, 1))]


def test_lines_of_the_list_that_say_nothing_are_left_out(tmp_path):
    path = tmp_path / "manifest"
    odd = [
        b"5",
        b"[]",
        b"{}",
        b'{"number": 1}',
        b"\xff",
        b'{"number": 2, "images": 1, "failed": 1}',
    ]
    path.write_bytes(b"\n".join(odd))
    assert dict(Manifest.read(path)) == {2: Finished(2, 1, 1)}
    with pytest.raises(LookcloserError, match="nowhere.*what is done is kept"):
        Manifest(tmp_path / "nowhere" / "m").add(Finished(0, 1, 0))
