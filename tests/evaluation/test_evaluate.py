"""The one door to all evaluations."""

import pickle
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from lookcloser.core.archives import Packed
from lookcloser.core.choices import Task
from lookcloser.core.errors import UsageError
from lookcloser.core.types import Prediction
from lookcloser.data import Sample
from lookcloser.evaluation import evaluate_data
from lookcloser.evaluation.answers import placed
from lookcloser.evaluation.evaluate import EVALUATIONS

BOX = (("a", (1.0, 1.0, 6.0, 5.0)),)


@pytest.fixture
def asked(scripted, split_of):
    """(engine, catalog) of nine images of a task, some of them with boxes."""

    def make(task):
        labels = ["a", "b", "c"] * 3 if task == "classification" else ["a", "ab", "c"] * 3
        logits = np.random.default_rng(3).normal(size=(9, 3))
        boxes = [BOX if "a" in own else () for own in labels]
        return scripted(logits, task=task), split_of(labels, boxes, task=task)

    return make


def test_every_task_has_one():
    assert set(EVALUATIONS) == set(get_args(Task))


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_work_done_elsewhere_gives_the_same(asked, task):
    engine, catalog = asked(task)

    def spread(work, items):
        sent = pickle.loads(pickle.dumps(work))
        for start in range(0, len(items), 4):
            yield sent(engine, items[start : start + 4])

    options = {"threshold_from": "split", "batch_size": 2}
    here = evaluate_data(engine, catalog, "test", **options)
    there = evaluate_data(engine, catalog, "test", spread=spread, **options)
    assert here.metrics.keys() == there.metrics.keys()
    assert here.metrics == pytest.approx(there.metrics, rel=1e-6)
    assert "MaxBoxAcc@0.5" in here.metrics
    assert here.settings == there.settings
    assert [a.iou for a in here.answers] == [a.iou for a in there.answers]
    assert [a.truth for a in here.answers] == [a.truth for a in there.answers]


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_options_are_passed_on(asked, task):
    engine, catalog = asked(task)
    told = []
    found = evaluate_data(
        engine, catalog, "test", threshold_from="none", evidence=0, batch_size=4,
        progress=lambda *counts: told.append(counts),
    )  # fmt: skip
    assert found.answers == ()
    assert told == [(4, 9), (8, 9), (9, 9)]
    assert "no boxes" in found.settings["supervision of the thresholds"]
    assert (found.task, found.split, len(found.images.losses)) == (task, "test", 9)


def test_a_wrong_source_of_thresholds_is_named_before_anything_is_read(asked):
    engine, catalog = asked("classification")
    with pytest.raises(UsageError, match=r"train: unknown place .*none \(no boxes\)"):
        evaluate_data(engine, catalog, "test", threshold_from="train")
    assert engine.model.asked == []


def test_an_answer_has_the_path_of_its_file_or_else_the_image_itself(tmp_path):
    answer = Prediction("classification", (), (), (4, 4), refusal="none of these")
    packed = Packed(tmp_path / "a.tar", "1.jpg", 0, 1)
    for source in (np.zeros((4, 4), np.uint8), packed):
        shown = placed(answer, Sample("1", source))
        assert shown.path is None
        assert shown.image is source
    of_file = placed(answer, Sample("1", tmp_path / "1.jpg"))
    assert (of_file.path, of_file.image) == (tmp_path / "1.jpg", None)
    assert replace(of_file, path=None).to_dict() == answer.to_dict(), "nothing else changes"
