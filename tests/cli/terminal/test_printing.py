"""Tables of scores as a terminal shows them."""

import io
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.printing import print_scores, print_table, print_views
from lookcloser.core.results.scores import Score
from lookcloser.core.results.shifts import Shifts, StepShift
from lookcloser.core.wording import printable
from lookcloser.evaluation import ViewScores

BASH = shutil.which("bash")


@pytest.fixture
def rows(capsys, monkeypatch):
    """The cells of what is printed, row by row."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def printed(*scores, shifts=None):
        print_scores("T", scores, shifts or Shifts())
        lines = capsys.readouterr().out.replace("┃", "│").splitlines()
        return [[cell.strip() for cell in x.split("│")[1:-1]] for x in lines if "│" in x]

    return printed


def score(name, value, interval=None, **baselines):
    guesses = {base.replace("_", " "): guess for base, guess in baselines.items()}
    return Score(name, value, interval, guesses, higher_is_better=True)


def test_scores_with_their_intervals(rows):
    assert rows(score("top1", 0.5, (0.4, 0.6)), score("nll", 1.25)) == [
        ["score", "value", "95 % interval"],
        ["top1", "0.5000", "0.4000 … 0.6000"],
        ["nll", "1.2500", ""],
    ]


def test_baselines_stand_beside_their_score(rows):
    found = rows(score("A", 0.5, random_map=0.1), score("B", 0.4), score("C", 1, center_box=0.2))
    assert found == [
        ["score", "value", "95 % interval", "random map", "center box"],
        ["A", "0.5000", "", "0.1000", ""],
        ["B", "0.4000", "", "", ""],
        ["C", "1.0000", "", "", "0.2000"],
    ]


def test_steps_and_scales_have_tables_of_their_own(rows):
    measures = {1: {"size": 0.5}, 2: {"size": 0.25, "overlap": 0.125}}
    steps = {
        number: StepShift(row, np.ones((1, 1)), np.zeros((0, 2, 2)), None)
        for number, row in measures.items()
    }
    found = rows(score("top1", 1.0), shifts=Shifts(steps))
    assert found[2:] == [["step", "size", "overlap"], ["1", "0.5", ""], ["2", "0.25", "0.125"]]
    assert len(found[0]) == 3


def test_a_view_that_ignores_the_weights_is_flagged(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    plain = {"cam": ViewScores(2, 0.1, 0.5, 0.25, 0.125, False), "random": ViewScores(2, 0, 0, 0)}
    print_views(plain)
    assert "weights │" not in capsys.readouterr().out
    print_views({"edges": ViewScores(2, 0.1, 0.5, 0.25, 0.875, True), **plain})
    lines = [line for line in capsys.readouterr().out.splitlines() if "weights │" in line]
    assert len(lines) == 1
    assert lines[0].startswith("│ edges")
    assert "0.8750 │ does not depend on the weights" in lines[0]
    print_views({})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_sign_can_be_printed_on_any_stream(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    printing.print_anything()
    printing.print_table("Views ↓", ["вид", "… é"], [["кот\udcff", "1"]])
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    assert "\\xff" in text, "undecodable bytes of a name are kept apart"
    assert ("кот" if encoding == "utf-8" else "\\u043a\\u043e\\u0442") in text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_json_stays_the_same_json_on_any_stream(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, value = io.BytesIO(), {"é": ["кот", "a\udcff"]}
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    printing.print_anything()
    printing.print_json(value)
    sys.stdout.flush()
    assert json.loads(raw.getvalue().decode(encoding)) == value


def test_columns_are_as_wide_as_their_escapes(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    printing.print_table("T", ["class", "n"], [["café", "1"], ["日本", "22"], ["plain", "3"]])
    stream.flush()
    lines = stream.buffer.getvalue().decode().splitlines()[1:]
    assert len({len(line) for line in lines}) == 1, lines
    assert any("caf\\xe9" in line for line in lines)


def test_a_title_wider_than_its_table_stays_on_one_line(capsys):
    title = "a run on test of a folder with a long name: 32 images [all]"
    printing.print_table(title, ["x"], [["1"]])
    assert capsys.readouterr().out.splitlines()[0] == title


def test_a_skipped_image_is_named_once(capsys):
    printing.say_skipped([("c0/a.png", "data/c0/a.png: no image"), ("b.png", "no image")])
    assert capsys.readouterr().err.splitlines() == [
        "skipped: data/c0/a.png: no image",
        "skipped: b.png: no image",
    ]


LONG = ["American_Three_toed_Woodpecker", "American_Three_toed_Woodchuck", "a wren"]


@pytest.mark.parametrize("columns", ["80", "40"])
def test_names_are_broken_and_not_cut_off_in_a_narrow_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    heads = ["class", "images", "same detail", "place carried", "border carried"]
    print_table("T", heads, [[name, "12", "0.06", "0.00", "0.17"] for name in LONG])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    cells = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    assert "".join(row[0].strip() for row in cells).replace(" ", "") == "".join(LONG).replace(
        " ", ""
    )
    assert [cell.strip() for row in cells for cell in row[1:] if cell.strip()] == [
        "12", "0.06", "0.00", "0.17",
    ] * len(LONG)  # fmt: skip
    if columns == "80":
        assert len(cells) == len(LONG), "the heads of numbers are broken first"


def test_plain_terminals_get_plain_signs(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    print_scores("T", [score("top1", 0.5, (0.4, 0.6))], Shifts())
    print_views({"cam": ViewScores(2, 0.1, 0.5, 0.25, 0.125, insensitive=False)})
    stream.flush()
    printed = stream.buffer.getvalue().decode()
    assert "0.4000 to 0.6000" in printed
    assert "deletion (low)" in printed
    assert "\\" not in printed


def test_json_that_no_terminal_obeys(capsys):
    value = {"name": "a\u202eb\x9b\\u202e é", "n": [1]}
    printing.print_json(value)
    shown = capsys.readouterr().out
    assert not {"\u202e", "\x9b"} & set(shown)
    assert "é" in shown
    assert json.loads(shown) == value


ODD = [
    "a b", "it's", '"', "$HOME", "`id`", "back\\slash", "-x.png", "--y.png", "new\nline",
    "\x1b[31mred", "\x9b31m", "\udcff\udcfe", "\u202egnp.exe", "日本", "", "~", "*", "\\x41",
    "'\n'",
]  # fmt: skip


@pytest.mark.skipif(not BASH, reason="no bash")
def test_the_next_command_is_read_back_by_a_shell_as_it_is(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in filter(None, ODD):
        Path(name).touch()
    printing.next_step("predict", *ODD, "--save", Path("e v"))
    (line,) = capsys.readouterr().err.splitlines()
    assert printable(line) == line
    typed = line.removeprefix("Next: lookcloser ")
    asked = [BASH, "-c", f"printf '%s\\0' {typed}"]
    done = subprocess.run(
        asked, check=True, capture_output=True, cwd=tmp_path, env={"LC_ALL": "C.UTF-8"}
    )
    read = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    files = [f"./{name}" if name.startswith("-") else name for name in ODD]
    assert read == ["predict", *files, "--save", "e v"]


def test_a_class_that_looks_like_an_option_stays_as_it_is(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    printing.next_step("imagine", "run", "-1")
    assert capsys.readouterr().err == "Next: lookcloser imagine run -1\n"


def test_names_cannot_command_the_terminal(capsys):
    printing.say("a\x1b[2J\x07\nb\x9b1m")
    printing.say_plan("write 2 images", ["a\x1b[31m.png", Path("b\n.png")])
    printing.print_path(Path("r\x1b[31m.html"))
    shown = capsys.readouterr()
    assert shown.err == "a\\x1b[2J\\x07\nb\\x9b1m\nWould write 2 images\n"
    assert shown.out == "would write a\\x1b[31m.png\nwould write b\\x0a.png\nr\\x1b[31m.html\n"


def test_json_has_no_numbers_that_are_none(capsys):
    value = {"a": math.nan, "b": [1.5, -math.inf, (math.inf, 2)], "c": {"d": math.nan, "e": None}}
    printing.print_json(value)
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"a": None, "b": [1.5, None, [None, 2]], "c": {"d": None, "e": None}}


def test_json_keeps_what_it_can_hold(capsys):
    value = {"é": [1, 0.1, 1e-300, True, None, "x\ny"], "": {}}
    printing.print_json(value)
    text = capsys.readouterr().out
    assert json.loads(text) == value
    assert "é" in text


def test_wide_signs_break_no_number(capsys, monkeypatch):
    """A sign of these is as wide as two letters."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    heads = ["class", "images", "same detail", "place carried", "border carried"]
    print_table("T", heads, [["一二三四五六七八九十百千万", "12345", "0.06", "0.00", "0.17"]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    (row,) = (line for line in lines if "12345" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == ["12345", "0.06", "0.00", "0.17"]


def test_cells_are_not_read_as_markup(capsys):
    print_table("[b]T[/b]", ["[red]c"], [["[link=x]y[/link]"], ["a\x1b[1m"], [":smile:"]])
    shown = capsys.readouterr().out
    for text in ("[b]T[/b]", "[red]c", "[link=x]y[/link]", "a\\x1b[1m", ":smile:"):
        assert text in shown


def test_an_empty_table_has_its_head(capsys):
    print_table("T", ["class", "n"], [])
    assert "class" in capsys.readouterr().out


def test_a_bar_is_for_terminals_alone(capsys, monkeypatch):
    with printing.progress("Reading") as tell:
        tell(1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    with printing.progress("Reading", shown=False) as tell:
        tell(1, 2)
    assert capsys.readouterr() == ("", "")
    with printing.progress("Reading") as tell:
        tell(1, 4)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Reading" in shown.err
    assert "25%" in shown.err


def test_settings_are_lines_of_their_own(capsys):
    printing.print_settings({"baselines": "a\x1b[1m", "images": "18"})
    assert capsys.readouterr() == ("", "baselines: a\\x1b[1m\nimages: 18\n")


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "…"), ("cp1252", "…"), ("ascii", "to")])
def test_a_sign_of_ours_has_words_where_it_cannot_be_written(monkeypatch, encoding, sign):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert printing.plain("…", "to") == sign
