"""Answers and evaluations in a line, as rows, as JSON and in a notebook."""

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Evaluation, Label, Prediction, Region
from lookcloser.core.results.scores import CENTER_BOX, Score
from lookcloser.core.results.shifts import Shifts, StepShift
from lookcloser.core.results.showing import ROW_NAMES, answer_line, doubts

MAP = np.ones((7, 9), np.float32)
LABELS = (Label("robin", 0.931, 3), Label("wren", 0.04, 1))
BOX = (1.0, 2.0, 30.5, 40.0)
EVIL = '<script>alert("1")</script>'


def prediction(task="classification", labels=LABELS, regions=(), **changes):
    return Prediction(task, labels, tuple(regions), (80, 60), **changes)


@pytest.fixture
def evaluation():
    step = StepShift({"overlap": 0.5}, np.ones((2, 2)), np.zeros((0, 2, 2)), None)
    box = Score(EVIL, 0.5, (0.25, 0.75), {CENTER_BOX: 0.125}, higher_is_better=True)
    return Evaluation(
        "classification", EVIL, ("a", EVIL),
        (Score("top1", 0.5, higher_is_better=True), box), (),
        per_class={"a": {"count": 2.0, "AP": float("nan")}},
        confusion=np.array([[1, 0], [1, 0]]),
        settings={"supervision of the thresholds": "none"},
        skipped=(("b.jpg", "truncated"),),
        shifts=Shifts({2: step}),
    )  # fmt: skip


def test_a_prediction_in_a_line():
    region = Region("map", "robin", 0.931, BOX, MAP)
    assert repr(region) == "Region(map, 'robin' 93.1%, box 1, 2, 30.5, 40, map 9×7)"
    assert repr(Region("part", "robin", 0.5, step=1)) == "Region(part 2, 'robin' 50.0%)"
    said = repr(prediction(regions=[region], path=Path("a.jpg")))
    assert said == "Prediction(a.jpg: robin 93.1%, wren 4.0%; 1 region)"
    many = tuple(Label(f"c{n}", 0.1, n) for n in range(5))
    assert repr(prediction(labels=many)).endswith("c2 10.0% and 2 more; 0 regions)")
    assert repr(prediction(labels=())) == "Prediction(no label; 0 regions)"
    assert repr(prediction("captioning", (), caption="a dog")) == "Prediction('a dog'; 0 regions)"
    assert repr(prediction(error="a.jpg: truncated")) == "Prediction(failed: a.jpg: truncated)"


def test_an_evaluation_in_a_line(evaluation):
    said = repr(evaluation)
    assert said.startswith("Evaluation(classification, 0 images of ")
    assert "top1 0.5, " in said
    many = tuple(Score(f"s{n}", 1 / 3, higher_is_better=True) for n in range(9))
    assert repr(Evaluation("multilabel", "val", (), many, ())).endswith("s3 0.3333, 5 more)")
    assert repr(Evaluation("multilabel", "val", (), (), ())).endswith("of val: no scores)")


def test_tags_are_said_in_the_order_of_their_path():
    regions = [
        Region("step", "wren", 0.04, BOX, MAP, 0),
        Region("step", "robin", 0.9, None, MAP, 1),
    ]
    tags = prediction("multilabel", regions=regions)
    assert [label.name for label in tags.answered] == ["wren", "robin"]
    assert answer_line(tags) == "wren 4.0%, robin 93.1%"
    assert [(row["rank"], row["label"], row["x1"]) for row in tags.to_rows()] == [
        (1, "wren", 30.5), (2, "robin", None)
    ]  # fmt: skip
    ranked = prediction(regions=[Region("map", "wren", 0.04, BOX, MAP)])
    assert [label.name for label in ranked.answered] == ["robin", "wren"]


def test_rows_are_flat_and_every_image_has_one():
    scale = Region("scale", "robin", 0.5, (0, 0, 1, 1), step=1)
    found = prediction(regions=[Region("map", "robin", 0.9, BOX, MAP), scale], path=Path("a.jpg"))
    first, second = found.to_rows()
    assert tuple(first) == tuple(second) == ROW_NAMES
    assert first == {
        "path": "a.jpg", "rank": 1, "label": "robin", "score": 0.931,
        "x0": 1.0, "y0": 2.0, "x1": 30.5, "y1": 40.0, "error": None,
        "candidate": None, "refusal": None, "group": None, "group_score": None,
    }  # fmt: skip
    assert second["x0"] is None
    (failed,) = prediction(labels=(), error="truncated").to_rows()
    assert (failed["error"], failed["label"]) == ("truncated", None)
    (silent,) = prediction("multilabel", ()).to_rows()
    assert silent["label"] is None
    (caption,) = prediction("captioning", (), caption="a dog").to_rows()
    assert (caption["label"], caption["score"]) == ("a dog", None)
    text = io.StringIO()
    csv.DictWriter(text, ROW_NAMES).writerows(found.to_rows())
    assert text.getvalue().startswith("a.jpg,1,robin,0.931,1.0,2.0,30.5,40.0,,,,,\r\n")


def test_rows_say_what_the_answer_does_not_know():
    ranked = (Label("robin", 0.4, 1), Label("wren", 0.3, 0), Label("emu", 0.2, 2))
    group = Label("songbirds", 0.7, -1)
    doubted = replace(
        prediction(labels=ranked[:2]), coverage=0.9, candidates=ranked, group=group, refusal="odd"
    )
    rows = doubted.to_rows()
    assert [(row["rank"], row["label"], row["score"]) for row in rows] == [
        (1, "robin", 0.4), (2, "wren", 0.3), (3, "emu", 0.2)
    ], "each candidate, also beyond the labels that were asked for"  # fmt: skip
    assert {(row["refusal"], row["group"], row["group_score"]) for row in rows} == {
        ("odd", "songbirds", 0.7)
    }
    for candidates in (0, 1, 2):
        rows = replace(doubted, candidates=ranked[:candidates]).to_rows()
        assert [row["candidate"] for row in rows] == [n < candidates for n in range(2)]


def test_a_notebook_shows_the_image_and_nothing_where_there_is_none(tmp_path):
    region = Region("map", "robin", 0.9, BOX, MAP)
    drawn = prediction(regions=[region], image=Image.new("RGB", (80, 60)))
    picture = Image.open(io.BytesIO(drawn._repr_png_()))
    assert (picture.format, picture.size) == ("PNG", drawn.plot().size)
    assert prediction(path=tmp_path / "gone.jpg")._repr_png_() is None
    assert prediction(error="truncated")._repr_png_() is None


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, _attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_a_notebook_shows_tables_in_which_names_are_text(evaluation):
    page = Tags(evaluation._repr_html_())
    assert set(page.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert page.tags.count("table") == 2
    assert f"0 images of {EVIL}" in page.words
    row = page.words.index(EVIL)
    assert page.words[row : row + 4] == [EVIL, "0.5000", "0.2500 … 0.7500", "0.1250"]
    assert page.words[-2:] == ["2", "0.5000"]


def test_json_has_flat_keys_and_no_nan(evaluation):
    found = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert found["top1"] == 0.5
    assert found["step_2_overlap"] == 0.5
    assert found["script_alert_1_script_center_box"] == 0.125
    assert found["intervals"] == {"script_alert_1_script": [0.25, 0.75]}
    assert found["per_class"] == {"a": {"count": 2.0, "ap": None}}
    assert found["confusion"] == [[1, 0], [1, 0]]
    assert found["classes"] == ["a", EVIL]
    assert found["settings"] == {"supervision_of_the_thresholds": "none"}
    assert found["skipped"] == [{"path": "b.jpg", "reason": "truncated"}]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, []),
        ({"candidates": (Label("robin", 0.9, 0), Label("wren", 0.1, 1)), "coverage": 0.95},
         ["at 95% coverage: robin, wren"]),
        ({"candidates": (), "coverage": 0.5}, ["at 50% coverage: none of them"]),
        ({"group": Label("songbirds", 0.756, -1)}, ["surer of the group songbirds (76%)"]),
        ({"refusal": "far from all"}, ["perhaps none of these: far from all"]),
        ({"candidates": (), "coverage": 0.9, "group": Label("birds", 1, -1), "refusal": "far"},
         ["at 90% coverage: none of them", "surer of the group birds (100%)",
          "perhaps none of these: far"]),
    ],
)  # fmt: skip
def test_what_an_answer_does_not_know_is_said(more, said):
    assert doubts(prediction(**more)) == said


def test_a_long_set_is_cut_where_there_is_no_room():
    both = prediction(candidates=LABELS, coverage=0.9)
    assert doubts(both, 1) == ["at 90% coverage: robin and 1 more"]
    assert doubts(both, 2) == doubts(both) == ["at 90% coverage: robin, wren"]
    assert doubts(replace(both, candidates=()), 1) == ["at 90% coverage: none of them"]
