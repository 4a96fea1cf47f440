import json

import pytest

from lookcloser.annotation.journal import JOURNAL, Journal
from lookcloser.annotation.records import Record, Thing
from lookcloser.core import LookcloserError

SETTINGS = {"model": "abc", "masks": None, "thresholds": {"cat": 0.25}}


def record(name="a.jpg", **changes):
    thing = Thing("cat", 0.1 + 0.2, (1.5, 2.0, 30.25, 40.0), 120.5, [[1.5, 2.0, 3.0, 4.0]])
    return Record(**{"name": name, "source": f"/x/{name}", "split": "val", "size": (64, 48),
                     "things": (thing,), **changes})  # fmt: skip


@pytest.mark.parametrize(
    "one",
    [
        record(),
        record("ü \n\u2028 \ud800.jpg", split=None),
        record(things=(), error="truncated"),
        record(things=(Thing("cat", 1.0, (0.0, 0.0, 1.0, 1.0), 1.0, {"counts": [4]}),)),
    ],
)  # fmt: skip
def test_a_record_comes_back_from_its_line(one):
    line = one.to_line()
    assert "\n" not in line
    assert Record.from_line(line) == one


@pytest.mark.parametrize("line", ["", "{}", "[]", '{"name": "a"}', record().to_line()[:-5]])
def test_half_a_line_is_no_record(line):
    with pytest.raises(ValueError, match="not a record|Expecting|Unterminated|delimiter"):
        Record.from_line(line)


def test_what_was_added_is_there_again(tmp_path):
    first = Journal(tmp_path)
    first.begin(SETTINGS)
    first.add([record("a.jpg"), record("b.jpg")])
    first.add([record("c.jpg", error="broken", things=())])
    again = Journal(tmp_path)
    again.begin(SETTINGS)
    assert again.records == first.records
    assert list(again.records) == ["a.jpg", "b.jpg", "c.jpg"]
    assert again.settings == SETTINGS


def test_at_every_place_of_a_kill_only_the_torn_line_is_lost(tmp_path):
    journal = Journal(tmp_path)
    journal.begin(SETTINGS)
    journal.add([record("a.jpg"), record("b.jpg")])
    whole = (tmp_path / JOURNAL).read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(ends[0], len(whole) + 1, 7):
        (tmp_path / JOURNAL).write_bytes(whole[:cut])
        torn = Journal(tmp_path)
        torn.begin(SETTINGS)
        assert len(torn.records) == sum(end <= cut for end in ends) - 1
        torn.add([record("z.jpg")])
        assert list(Journal(tmp_path).records)[-1] == "z.jpg", "the next line begins on its own"


def test_a_kill_before_the_first_line_is_a_new_start(tmp_path):
    (tmp_path / JOURNAL).write_bytes(b'{"model": "a')
    journal = Journal(tmp_path)
    journal.begin(SETTINGS)
    journal.add([record()])
    assert list(Journal(tmp_path).records) == ["a.jpg"]


def test_other_settings_are_refused_and_named(tmp_path):
    Journal(tmp_path).begin(SETTINGS)
    with pytest.raises(LookcloserError, match="another masks"):
        Journal(tmp_path).begin({**SETTINGS, "masks": "rle"})
    Journal(tmp_path).begin({"model": "abc"})


def test_a_damaged_line_in_the_middle_is_no_silent_loss(tmp_path):
    journal = Journal(tmp_path)
    journal.begin(SETTINGS)
    (tmp_path / JOURNAL).write_text(f"{json.dumps(SETTINGS)}\nnonsense\n{record().to_line()}\n")
    with pytest.raises(LookcloserError, match="damaged"):
        Journal(tmp_path)


def test_a_full_disk_is_said(tmp_path):
    journal = Journal(tmp_path)
    journal.begin(SETTINGS)
    journal.path.unlink()
    journal.path.mkdir()
    with pytest.raises(LookcloserError, match="what is done is kept"):
        journal.add([record()])


def test_a_folder_of_somebody_else_is_refused_and_nothing_is_written(tmp_path):
    Journal(tmp_path / "new").check_folder()
    assert not (tmp_path / "new").exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine")
    with pytest.raises(LookcloserError, match="exists already and is not empty"):
        Journal(tmp_path / "theirs").check_folder()
    Journal(tmp_path / "new").begin(SETTINGS)
    (tmp_path / "new" / "boxes.csv").write_text("")
    Journal(tmp_path / "new").check_folder()
