"""Tables of scores as a terminal shows them."""

import io
import json
import sys

import numpy as np
import pytest

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.printing import print_scores, print_views
from lookcloser.core.results.scores import Score
from lookcloser.core.results.shifts import Shifts, StepShift
from lookcloser.evaluation import ViewScores


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
