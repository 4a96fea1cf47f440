"""Which answers each gallery takes, and in which order."""

import dataclasses
import random

import pytest

from lookcloser.core import Answer, Label, Prediction
from lookcloser.core.results.galleries import choose, confidence, drawn


def make_answer(guess="a", truth="a", *, score=0.9, loss=0.1, iou=None):
    label = Label(guess, score, 0)
    prediction = Prediction("classification", (label,), (), (4, 4))
    return Answer(prediction, (truth,), (), guess == truth, iou, loss)


@pytest.fixture
def answers():
    table = [  # guess, truth, score, loss, iou
        ("a", "a", 0.6, 0.5, 0.9),
        ("a", "b", 0.9, 2.0, 0.1),
        ("b", "b", 0.9, 0.1, None),
        ("b", "a", 0.5, 0.7, 0.3),
        ("a", "b", 0.7, 5.0, 0.3),
        ("b", "b", 0.8, 0.2, 0.0),
    ]
    return [make_answer(g, t, score=s, loss=x, iou=iou) for g, t, s, x, iou in table]


def members(answers, limit=24, seed=0):
    return {gallery.key: gallery.members for gallery in choose(answers, limit, seed)}


def test_orders(answers):
    found = members(answers)
    assert list(found) == ["worst", "wrong", "right", "misplaced", "random"]
    assert found["worst"] == (4, 1, 3)
    assert found["wrong"] == (1, 4, 3)
    assert found["right"] == (2, 5, 0)
    assert found["misplaced"] == (5, 1, 3, 4, 0), "equal IoUs in the order of the data"
    assert sorted(found["random"]) == [0, 1, 2, 3, 4, 5]


def test_the_suspicious_are_the_answers_of_flagged_classes_in_turn(answers):
    found = {g.key: g.members for g in choose(answers, 24, flagged=("b", "a", "unseen"))}
    assert found["suspicious"] == (2, 1, 5, 4, 3, 0)
    found = {g.key: g.members for g in choose(answers, 2, flagged=("a",))}
    assert found["suspicious"] == (1, 4)
    assert "suspicious" not in members(answers)


def test_limit(answers):
    assert {len(found) for found in members(answers, 2).values()} == {2}
    assert members(answers, 2)["worst"] == (4, 1)


def test_the_sample_follows_its_seed(answers):
    many = answers * 20
    assert members(many, 24, 1)["random"] == members(many, 24, 1)["random"]
    assert members(many, 24, 1)["random"] != members(many, 24, 2)["random"]
    assert len(set(members(many, 24, 1)["random"])) == 24
    random.seed(0)
    before = random.getstate()
    choose(answers, 3)
    assert random.getstate() == before, "the global generator is the caller's"


def test_empty_galleries_are_left_out():
    right = [make_answer()]
    assert list(members(right)) == ["right", "random"]
    assert choose([], 24) == []


def test_unreadable_images_are_in_none(answers):
    broken = dataclasses.replace(answers[4].prediction, error="truncated")
    answers[4] = dataclasses.replace(answers[4], prediction=broken)
    assert all(4 not in found for found in members(answers).values())


def test_without_labels_there_is_no_confidence(answers):
    bare = [
        dataclasses.replace(a, prediction=dataclasses.replace(a.prediction, labels=()))
        for a in answers
    ]
    assert confidence(bare[0]) == 0.0
    assert list(members(bare)) == ["worst", "misplaced", "random"]


def test_the_sample_of_a_part_is_that_of_the_whole(answers):
    many = answers * 20
    whole = members(many, 5)["random"]
    kept = sorted(whole)
    part = choose([many[i] for i in kept], 5, numbers=kept)
    (random_one,) = (gallery for gallery in part if gallery.key == "random")
    assert [kept[i] for i in random_one.members] == list(whole)


def test_numbers_are_drawn_evenly():
    numbers = [drawn(0, n) for n in range(4000)]
    assert len(set(numbers)) == 4000
    assert min(numbers) >= 0
    for quarter in range(4):
        inside = [n for n in numbers if quarter / 4 <= n < (quarter + 1) / 4]
        assert 900 < len(inside) < 1100
