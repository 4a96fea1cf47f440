"""Sentences say what the numbers say."""

import dataclasses

import pytest

from lookcloser.core import Region
from lookcloser.report.charts import reliability
from lookcloser.report.scores import score_rows
from lookcloser.report.words import ENOUGH, calibration_words, findings, looked_into, map_sizes


def sentences(evaluation):
    rows = score_rows(evaluation.scores)
    return findings(evaluation, rows, reliability(evaluation.calibration))


def test_findings(evaluation):
    assert sentences(evaluation) == [
        "2 of 4 images were given the right class (50.0\u202f%).",
        "The weakest class is dog, with an accuracy of 0.0\u202f%.",
        "The most frequent confusion: dog taken for cat, once.",
        "Localization, MaxBoxAcc @ 0.5: 75.0\u202f%; the same box in the center of every image: "
        "25.0\u202f%.",
        "The model is too sure: on average its confidence is 31.0 points above its accuracy.",
    ]


def test_sets_are_right_as_a_whole(evaluation):
    said = sentences(dataclasses.replace(evaluation, task="multilabel", confusion=None))
    assert said[0] == "2 of 4 images were given just the right labels (50.0\u202f%)."


def test_nothing_is_said_without_material(bare):
    assert sentences(bare) == []


def test_perfect_classes_have_no_weakest(evaluation):
    perfect = {name: {"accuracy": 1.0} for name in evaluation.names}
    said = sentences(dataclasses.replace(evaluation, per_class=perfect))
    assert not any("weakest" in sentence for sentence in said)


def test_classes_without_images_are_not_the_weakest(evaluation):
    per_class = {"cat": {"recall": float("nan")}, "dog": {"recall": 0.5}, "owl": {"recall": 0.7}}
    said = sentences(dataclasses.replace(evaluation, per_class=per_class))
    assert "The weakest class is dog, with a recall of 50.0\u202f%." in said


def test_images_that_failed_are_not_counted(evaluation):
    failed = dataclasses.replace(evaluation.answers[0].prediction, error="truncated")
    answers = (dataclasses.replace(evaluation.answers[0], prediction=failed), *evaluation.answers)
    said = sentences(dataclasses.replace(evaluation, answers=answers))
    assert said[0].startswith("2 of 4 images")


@pytest.mark.parametrize(
    ("gap", "error", "words"),
    [
        (0.01, 0.02, "can be read as probabilities"),
        (0.01, 0.10, "agree on average, but not at every level"),
        (0.08, 0.10, "too sure: on average its confidence is 8.0 points above"),
        (-0.08, 0.10, "not sure enough: on average its confidence is 8.0 points below"),
    ],
)
def test_calibration(gap, error, words):
    assert words in calibration_words({"gap": gap, "error": error}, 1000)


def test_of_few_images_no_good_calibration_is_claimed():
    good = {"gap": 0.0, "error": 0.0}
    assert calibration_words(good, 13).startswith("13 images are too few to tell")
    assert "can be read as probabilities" in calibration_words(good, ENOUGH)
    assert "too sure" in calibration_words({"gap": 0.3, "error": 0.3}, 13)


def test_map_sizes(evaluation, bare):
    assert map_sizes(evaluation) == "7\u00a0×\u00a07"
    assert map_sizes(bare) == ""


@pytest.mark.parametrize(
    ("kind", "words"), [("scale", "each inside the one before"), ("place", "place 1 the one")]
)
def test_the_boxes_that_were_looked_into_are_explained(evaluation, kind, words):
    assert looked_into(evaluation) == ""
    first, *others = evaluation.answers
    look = Region(kind, "cat", 0.5, (0, 0, 9, 9), step=1)
    prediction = dataclasses.replace(first.prediction, regions=(*first.prediction.regions, look))
    answers = (dataclasses.replace(first, prediction=prediction), *others)
    said = looked_into(dataclasses.replace(evaluation, answers=answers))
    assert words in said
    assert said.endswith("this look alone.")
