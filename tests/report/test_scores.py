"""Names, rounding, order and baselines of the scores."""

import math

import pytest

from lookcloser.report.scores import (
    KNOWN,
    TILES,
    baseline_names,
    headline,
    number,
    percent,
    read_scores,
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


@pytest.mark.parametrize("name", ["top1", "top-1", "Top_1", "top1_accuracy", "top-1 accuracy"])
def test_spellings_of_a_name(name):
    (score,) = read_scores({name: 0.5}, {name: (0.4, 0.6)})
    assert (score.title, score.value) == ("Top-1 accuracy", "50.0\u202f%")
    assert score.interval == "40.0–60.0\u202f%"


def test_fractions_and_plain_numbers():
    metrics = {"loss": 0.5, "val_loss": 0.25, "CIDEr-D": 0.855, "own": 0.5, "images": 12.0}
    values = {score.title: score.value for score in read_scores(metrics, {"loss": (0.4, 0.6)})}
    assert values == {
        **{"CIDEr-D": "0.855", "loss": "0.5", "val_loss": "0.25"},
        **{"own": "50.0\u202f%", "images": "12"},
    }
    assert read_scores({"loss": 0.5}, {"loss": (0.4, 0.6)})[0].interval == "0.4–0.6"


def test_known_scores_come_first_the_rest_as_given():
    metrics = {"zeta": 0.1, "ece": 0.1, "alpha": 0.1, "top5": 0.9, "top1": 0.8}
    assert [score.key for score in read_scores(metrics, {})] == [
        *("top1", "top5", "ece", "zeta", "alpha")
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("centre-box MaxBoxAcc@0.5", "centre_box/MaxBoxAcc@0.5"),
        *("MaxBoxAcc@0.5 (centre box)", "MaxBoxAcc@0.5_centre_box"),
    ],
)
def test_a_baseline_stands_beside_its_score(name):
    scores = read_scores({"MaxBoxAcc@0.5": 0.8, name: 0.6, "random-map MaxBoxAcc@0.5": 0.1}, {})
    assert len(scores) == 1
    assert scores[0].localises
    assert scores[0].baselines == {"centre box": "60.0\u202f%", "random map": "10.0\u202f%"}
    assert baseline_names(scores) == ["centre box", "random map"]


def test_a_baseline_alone_is_a_score():
    (score,) = read_scores({"centre-box MaxBoxAcc@0.5": 0.6}, {})
    assert (score.title, score.value) == ("centre-box MaxBoxAcc@0.5", "60.0\u202f%")
    assert baseline_names([score]) == []


def test_headline_takes_known_scores_or_the_first():
    known = read_scores({"other": 0.1, "top1": 0.8, "PxAP": 0.5}, {})
    assert [score.key for score in headline(known)] == ["top1"]
    unknown = read_scores({f"m{i}": 0.1 for i in range(9)}, {})
    assert [score.key for score in headline(unknown)] == [f"m{i}" for i in range(6)]


def test_every_tile_is_known():
    assert set(KNOWN) >= TILES


def test_what_a_model_says_of_its_doubt_has_titles():
    found = read_scores({"refused": 0.05, "set size@95%": 0.9, "coverage@95%": 0.951}, {})
    assert [(score.title, score.value) for score in found] == [
        ("Covered at 95 %", "95.1\u202f%"),
        ("Candidates at 95 %", "0.9"),
        ("Perhaps none of these", "5.0\u202f%"),
    ]
