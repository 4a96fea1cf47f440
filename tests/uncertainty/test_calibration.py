import json
from dataclasses import asdict

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.uncertainty import (
    COVERAGES,
    Calibration,
    calibrate,
    candidate_sets,
    evidence,
    refusals,
    softmax,
)
from lookcloser.uncertainty.calibration import FAR, LOOK_ALIKE


def drawn(count=1000, classes=4, temperature=2.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = 5 * rng.normal(size=(count, classes))
    odds = softmax(logits / temperature).cumsum(axis=1)
    targets = (rng.uniform(size=(count, 1)) > odds).sum(axis=1).clip(max=classes - 1)
    return logits, targets, rng.chisquare(10, size=count)


@pytest.fixture(scope="module")
def calibration():
    logits, targets, distances = drawn()
    return calibrate(logits, targets, 2.0, distances)


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_of_new_images_hold_the_truth_as_often_as_promised(calibration, method):
    logits, targets, _ = drawn(4000, seed=1)
    sets = candidate_sets(calibration, softmax(logits / 2.0), 0.9, method)
    share = sets[np.arange(len(targets)), targets].mean()
    assert share > 0.88
    assert method == "aps" or share < 0.92


def test_a_coverage_between_two_percents_takes_the_higher(calibration):
    probabilities = softmax(drawn(50, seed=2)[0])
    between, above = (candidate_sets(calibration, probabilities, c) for c in (0.945, 0.95))
    assert np.array_equal(between, above)
    assert np.array_equal(
        candidate_sets(calibration, probabilities, 0.01),
        candidate_sets(calibration, probabilities, 0.5),
    )


@pytest.mark.parametrize("coverage", [0, -1, 0.995, 1, 95, float("nan"), "0.9", True, [0.9], None])
def test_other_coverages_are_refused(calibration, coverage):
    with pytest.raises(LookcloserError, match=r"coverage .*at most 0\.99"):
        candidate_sets(calibration, np.eye(4), coverage)


def test_an_uncalibrated_model_promises_nothing():
    with pytest.raises(LookcloserError, match="was not calibrated"):
        candidate_sets(Calibration(), np.eye(3), 0.9)
    assert refusals(Calibration(), np.eye(3), np.full(3, 1e9)) == [None] * 3


def test_kinds_of_sets_are_known_by_name(calibration):
    with pytest.raises(LookcloserError, match="raps: unknown kind of set"):
        candidate_sets(calibration, np.eye(4), 0.9, "raps")


def test_about_five_percent_of_own_images_are_refused(calibration):
    logits, _, distances = drawn(20_000, seed=3)
    said = refusals(calibration, logits, distances)
    assert np.mean([s is not None for s in said]) == pytest.approx(0.05, abs=0.015)


def test_each_kind_of_refusal_has_its_word(calibration):
    sure, flat = np.array([[60.0, 0, 0, 0]]), np.array([[0.1, 0, 0, 0]])
    assert refusals(calibration, sure, np.zeros(1)) == [None]
    assert refusals(calibration, flat, np.zeros(1)) == [LOOK_ALIKE]
    assert refusals(calibration, sure, np.array([1e6])) == [FAR]
    assert refusals(calibration, sure) == [None], "no distance, no word about it"


def test_evidence_does_not_see_what_all_classes_share():
    logits = np.array([[3.0, 1, 2], [103, 101, 102], [3, 1, -np.inf]])
    assert evidence(logits) == pytest.approx([1, 1, 1])


def test_few_images_set_no_threshold_and_many_labels():
    logits, targets, distances = drawn(10)
    few = calibrate(logits, targets, 2.0, distances)
    assert (few.images, few.evidence, few.distance) == (10, None, None)
    assert candidate_sets(few, softmax(logits), 0.95).all()


def test_it_comes_back_from_json(calibration):
    assert Calibration.read(json.loads(json.dumps(asdict(calibration)))) == calibration
    assert Calibration.read(asdict(Calibration())) == Calibration()


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": float("nan")},
        {"temperature": -1},
        {"images": -1},
        {"lac": [0.5]},
        {"aps": [float("inf")] * len(COVERAGES)},
        {"lac": [1e300] * len(COVERAGES)},
        {"evidence": float("inf")},
        {"distance": float("nan")},
        {"distance": "far"},
        {"lac": None},
    ],
)
def test_numbers_that_nobody_measured_are_refused(calibration, change):
    with pytest.raises((ValueError, TypeError)):
        Calibration.read({**asdict(calibration), **change})
