"""Scores as objects, the flat names made from them, and the numbers of all images."""

import dataclasses

import numpy as np
import pytest

from lookcloser.core import Answer, Evaluation, LookcloserError, Prediction
from lookcloser.core.results.scores import (
    CENTER_BOX,
    RANDOM_MAP,
    Score,
    flat_scores,
    json_key,
    tally_of,
)
from lookcloser.core.results.shifts import Shifts, StepShift

BOX = Score("MaxBoxAcc@0.5", 0.75, (0.6, 0.9), {CENTER_BOX: 0.25, RANDOM_MAP: 0.125},
            higher_is_better=True)  # fmt: skip


def test_which_end_is_better_must_be_said():
    with pytest.raises(TypeError, match="higher_is_better"):
        Score("top1", 0.5)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *(("top1", "top1"), ("MaxBoxAcc@0.5", "max_box_acc_0_5")),
        ("MaxBoxAccV2", "max_box_acc_v2"),
        *(("mAP", "map"), ("mAP-VOC11", "map_voc11"), ("PxAP", "pxap"), ("CorLoc", "cor_loc")),
        *(("C-F1 macro", "c_f1_macro"), ("O-P@3", "o_p_3"), ("BLEU-4", "bleu_4")),
        *(("CIDEr-D", "cider_d"), ("ROUGE-L", "rouge_l"), ("AP", "ap")),
        *(("step 2 overlap", "step_2_overlap"), ("top1_loc", "top1_loc")),
        ("MaxBoxAcc@0.5 center box", "max_box_acc_0_5_center_box"),
    ],
)  # fmt: skip
def test_keys_in_json(name, key):
    assert json_key(name) == key


def test_baselines_follow_their_score():
    nll = Score("nll", 1.5, higher_is_better=False, is_share=False)
    assert flat_scores([BOX, nll]) == {
        "MaxBoxAcc@0.5": 0.75,
        "MaxBoxAcc@0.5 center box": 0.25,
        "MaxBoxAcc@0.5 random map": 0.125,
        "nll": 1.5,
    }


def answer(correct=True, iou=None, loss=0.5, boxes=(), **changes):
    prediction = Prediction("classification", (), (), (4, 4), **changes)
    return Answer(prediction, ("a",), boxes, correct, iou, loss)


def test_an_evaluation_finds_its_scores_by_name():
    step = StepShift({"overlap": 0.5}, np.ones((2, 2)), np.zeros((0, 2, 2)), None)
    found = Evaluation("classification", "test", ("a",), (BOX,), (), shifts=Shifts({2: step}))
    assert found.score("MaxBoxAcc@0.5") is BOX
    with pytest.raises(LookcloserError, match="MaxBoxAc: unknown score. Close: MaxBoxAcc@0.5"):
        found.score("MaxBoxAc")
    assert found.metrics == {**flat_scores([BOX]), "step 2 overlap": 0.5}
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.metrics = {}


def test_the_numbers_of_answers_that_are_all_there():
    answers = [
        answer(True, 0.25, 1.0, ((0, 0, 1, 1),)),
        answer(error="truncated"),
        answer(False, None, 2.0),
    ]
    tally = tally_of(answers)
    assert tally.correct.tolist() == [True, False]
    assert tally.losses.tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(tally.ious, [0.25, np.nan])
    assert tally.boxed == 1
    assert tally.numbers == (0, 1, 2)
    whole = Evaluation("classification", "test", (), (), tuple(answers))
    assert whole.images.losses.tolist() == [1.0, 2.0]
    few = dataclasses.replace(whole, answers=(), tally=tally)
    assert few.images is tally
