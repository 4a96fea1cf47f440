"""Names, rounding, order and baselines of the scores."""

import math

import pytest

from lookcloser.core.results.scores import Score
from lookcloser.report.scores import (
    KNOWN,
    TILES,
    baseline_names,
    headline,
    number,
    percent,
    score_rows,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9213, "92.1\u202f%"), (1.0, "100.0\u202f%"), (0.0, "0.0\u202f%"), (math.nan, "–")],
)
def test_percent(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1452, "1\u202f452"), (1452.0, "1\u202f452"), (0.41237, "0.4124"), (1e-5, "1e-05")),
        *((0, "0"), (-3, "-3"), (math.inf, "–"), (math.nan, "–"), (1e300, "1e+300")),
    ],
)
def test_number(value, text):
    assert number(value) == text


def score(name, value=0.5, interval=None, baselines=None, **more):
    return Score(name, value, interval, baselines or {}, **{"higher_is_better": True, **more})


def test_a_known_score_has_a_title():
    (row,) = score_rows([score("top1", 0.5, (0.4, 0.6))])
    assert (row.title, row.value) == ("Top-1 accuracy", "50.0\u202f%")
    assert row.interval == "40.0–60.0\u202f%"
    assert not row.compared


def test_what_is_no_share_is_not_shown_in_percent():
    plain = score("CIDEr-D", 0.855, (0.4, 0.6), {"mine": 0.5}, is_share=False)
    first, second = score_rows([plain, score("own")])
    assert (first.value, first.interval, first.baselines) == ("0.855", "0.4–0.6", {"mine": "0.5"})
    assert (second.title, second.value) == ("own", "50.0\u202f%")


def test_next_to_nothing_is_nothing():
    """As the terminal prints it; not 1.588e-11."""
    row = score_rows(
        [score("CIDEr-D", 1.588e-11, (0.0, 4.763e-11), {"none": 2e-9}, is_share=False)]
    )[0]
    assert (row.value, row.interval, row.baselines) == ("0", "0–0", {"none": "0"})
    assert score_rows([score("nll", 0.00012, is_share=False)])[0].value == "0.0001"


def test_known_scores_come_first_the_rest_as_given():
    rows = score_rows([score(name) for name in ("zeta", "ece", "alpha", "top5", "top1")])
    assert [row.name for row in rows] == ["top1", "top5", "ece", "zeta", "alpha"]


def test_baselines_stand_beside_their_score():
    box = score(
        "MaxBoxAcc@0.5", 0.8, None, {"center box": 0.6, "random map": 0.1}, of_evidence=True
    )
    rows = score_rows([score("top1"), box])
    assert rows[1].compared
    assert rows[1].baselines == {"center box": "60.0\u202f%", "random map": "10.0\u202f%"}
    assert baseline_names(rows) == ["center box", "random map"]
    assert baseline_names(rows[:1]) == []


def test_what_is_neither_good_nor_bad_is_not_compared():
    (row,) = score_rows([score("shift overlap", higher_is_better=None, of_evidence=True)])
    assert not row.compared


def test_headline_takes_known_scores_or_the_first():
    known = score_rows([score("other"), score("top1"), score("PxAP")])
    assert [row.name for row in headline(known)] == ["top1"]
    unknown = score_rows([score(f"m{i}") for i in range(9)])
    assert [row.name for row in headline(unknown)] == [f"m{i}" for i in range(6)]


def test_every_tile_is_known():
    assert set(KNOWN) >= TILES


def test_what_a_model_says_of_its_doubt_has_titles():
    values = {"refused": 0.05, "set size@95%": 0.9, "coverage@95%": 0.951}
    found = score_rows(
        score(name, value, is_share=name != "set size@95%") for name, value in values.items()
    )
    assert [(score.title, score.value) for score in found] == [
        ("Covered at 95 %", "95.1\u202f%"),
        ("Candidates at 95 %", "0.9"),
        ("Perhaps none of these", "5.0\u202f%"),
    ]
    kinds = ("refused look-alike", "refused unlike", "refused")
    found = score_rows(score(name, 0.01) for name in kinds)
    assert [row.name for row in found] == list(reversed(kinds)), "the whole comes first"
    assert all(row.title != row.name for row in found)
