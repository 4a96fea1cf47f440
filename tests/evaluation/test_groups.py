"""Scores of answers that name a group of classes where no class is sure."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import Catalog, Sample
from lookcloser.evaluation.groups import group_columns, group_scores
from lookcloser.evaluation.loop import Columns
from lookcloser.models import build_model
from lookcloser.recognizer import Recognizer
from lookcloser.report.scores import KNOWN, score_rows

NAMES = ("wren", "robin", "cat", "trout")
PARENTS = {"wren": "birds", "robin": "birds", "birds": "land", "cat": "land"}
SCORES = {"top1 group", "sure of a class", "top1 where sure", "rolled up", "top1 rolled up"}


def scored(rows, parents=PARENTS, at_once=None):
    """Scores by name of rows (truth, probabilities), given in batches."""
    header = ModelHeader("cam", {}, "classification", NAMES, parents=parents)
    columns = Columns()
    for start in range(0, len(rows), at_once or len(rows)):
        part = rows[start : start + (at_once or len(rows))]
        probabilities = np.array([shares for _, shares in part], np.float32)
        targets = np.array([NAMES.index(truth) for truth, _ in part])
        columns.add(top1=probabilities.argmax(axis=1) == targets)
        columns.add(**group_columns(probabilities, targets, header))
    return {score.name: score.value for score in group_scores(columns)}


ROWS = [
    ("wren", (0.9, 0.1, 0.0, 0.0)),  # sure and right
    ("wren", (0.1, 0.8, 0.1, 0.0)),  # sure and wrong, in the right group
    ("cat", (0.0, 0.0, 0.3, 0.7)),  # sure and wrong, in another group
    ("robin", (0.4, 0.3, 0.2, 0.1)),  # birds, and it is
    ("cat", (0.4, 0.3, 0.2, 0.1)),  # birds, and it is not
    ("cat", (0.3, 0.1, 0.35, 0.25)),  # land, which holds cats; its own group is the second
    ("wren", (0.3, 0.1, 0.35, 0.25)),  # land, which holds birds
    ("trout", (0.2, 0.1, 0.1, 0.48)),  # nothing is sure
]


def test_each_kind_of_answer_is_counted_apart():
    assert scored(ROWS) == pytest.approx({
        "sure of a class": 3 / 8,
        "top1 where sure": 1 / 3,
        "rolled up": 4 / 8,
        "top1 rolled up": 3 / 4,
        "top1 group": 5 / 8,  # wren, wren, robin, wren among birds, and the trout by itself
    })  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 3])
def test_batches_do_not_matter(at_once):
    assert scored(ROWS, at_once=at_once) == pytest.approx(scored(ROWS))


def test_the_group_with_the_highest_sum_counts_not_that_of_the_best_class():
    found = scored([("robin", (0.3, 0.3, 0.4, 0.0))])
    assert found["top1 group"] == 1.0


def test_a_class_outside_the_groups_is_a_group_of_its_own_even_under_the_name_of_one():
    parents = {"wren": "trout", "robin": "trout"}
    found = scored([("wren", (0.3, 0.3, 0.0, 0.4))], parents)
    assert found["top1 group"] == 1.0


def test_shares_of_nothing_are_left_out():
    assert "top1 rolled up" not in scored(ROWS[:3])
    assert "top1 where sure" not in scored(ROWS[3:])


def test_without_groups_there_are_no_scores():
    assert scored(ROWS, {}) == {}


def test_the_report_has_words_for_each_of_them():
    assert scored(ROWS).keys() == SCORES
    assert KNOWN.keys() >= SCORES


COLORS = ("blue", "green", "red")


@pytest.fixture(scope="module")
def evaluation():
    """Of a network with random weights, which is sure of nothing: every answer is a group."""
    torch.manual_seed(0)
    header = ModelHeader(
        "cam",
        {"num_classes": 3, "backbone": "test_resnet"},
        "classification",
        COLORS,
        Preprocessing((32, 32)),
        parents={"blue": "cold", "green": "cold", "red": "warm"},
    )
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"{number}.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8),
               (COLORS[number % 3],), split="test")
        for number in range(9)
    ]  # fmt: skip
    catalog = Catalog(Path("memory"), "made", "classification", COLORS, tuple(samples))
    recognizer = Recognizer(build_model("cam", header.arguments), header, device="cpu")
    return recognizer.evaluation(catalog, "test")


def test_an_evaluation_holds_them(evaluation):
    found = {score.name: score.value for score in evaluation.scores}
    assert found["rolled up"] == 1.0
    assert found["sure of a class"] == 0.0
    assert found["top1 rolled up"] == pytest.approx(6 / 9)  # the cold ones
    assert found["top1 group"] == pytest.approx(6 / 9)
    groups = {a.prediction.group.name for a in evaluation.answers if a.prediction.group}
    assert groups == {"cold"}  # as the answers themselves say


def test_they_are_rows_of_the_report(evaluation):
    titles = [row.title for row in score_rows(evaluation.scores)]
    assert titles.index("Top-1 accuracy") < titles.index("Top-1 of groups")
    assert "Right where rolled up" in titles
