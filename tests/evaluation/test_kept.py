"""Which answers keep their evidence: just those that the galleries of all would show."""

import numpy as np
import pytest

from lookcloser.core import Answer, Label, Prediction
from lookcloser.core.results.galleries import choose
from lookcloser.evaluation.kept import KeptAnswers

COUNT, LEVELS = 200, 3


@pytest.fixture
def split():
    """Answers of a split, and their IoUs (N, L) at three thresholds."""
    rng = np.random.default_rng(0)
    answers = []
    for number in range(COUNT):
        correct = bool(rng.random() < 0.7)
        label = Label("ab"[int(rng.integers(2))], round(float(rng.random()), 2), 0)
        prediction = Prediction("classification", (label,), (), (4, 4), path=f"{number}.png")
        answers.append(Answer(prediction, ("a",), (), correct, None, float(rng.random())))
    ious = rng.random((COUNT, LEVELS)).round(2)
    ious[rng.random(COUNT) < 0.3] = np.nan
    return answers, ious


def keep(split, limit, batch, **options):
    answers, ious = split
    kept = KeptAnswers(limit, **options)
    for start in range(0, len(answers), batch):
        some = slice(start, start + batch)
        kept.add(
            np.array([answer.correct for answer in answers[some]]),
            np.array([answer.loss for answer in answers[some]]),
            2,
            ious[some],
            answers[some],
        )
    return kept


def shown(evaluated, limit, **options):
    """The images of each gallery, in its order."""
    answers, tally = evaluated
    return {
        gallery.key: [answers[index].prediction.path for index in gallery.members]
        for gallery in choose(answers, limit, numbers=tally.numbers, **options)
    }


@pytest.mark.parametrize("batch", [1, 7, COUNT])
@pytest.mark.parametrize("level", range(LEVELS))
def test_galleries_of_the_kept_are_those_of_all(split, batch, level):
    ious = split[1][:, level]
    whole = keep(split, None, batch, flagged=("b",)).result(ious, level)
    few = keep(split, 5, batch, flagged=("b",)).result(ious, level)
    assert len(whole[0]) == COUNT
    assert len(few[0]) < COUNT / 2
    for limit in (1, 5):
        assert shown(few, limit, flagged=("b",)) == shown(whole, limit, flagged=("b",))
    assert set(shown(few, 5, flagged=("b",))) == {
        *("worst", "wrong", "right", "suspicious", "misplaced", "random")
    }


def test_numbers_are_of_all_images(split):
    for limit in (None, 5, 0):
        answers, tally = keep(split, limit, 32).result(split[1][:, 0], 0)
        assert tally.correct.tolist() == [answer.correct for answer in split[0]]
        assert tally.losses.tolist() == [answer.loss for answer in split[0]]
        assert tally.boxed == 2 * 7
        assert len(tally.numbers) == len(answers)
        for number, answer in zip(tally.numbers, answers, strict=True):
            assert answer.prediction is split[0][number].prediction
            own = split[1][number, 0]
            assert answer.iou == (None if np.isnan(own) else own)
    assert answers == ()


def test_how_many_are_kept_does_not_depend_on_how_many_there_are(split):
    answers, ious = split
    most = (4 + LEVELS) * 5  # the galleries, and the lowest IoU at each threshold
    for times in (1, 4):
        kept = keep((answers * times, np.tile(ious, (times, 1))), 5, 16)
        assert len(kept.result(np.tile(ious[:, 0], times), 0)[0]) <= most


def test_nothing_is_asked_where_none_is_kept():
    kept = KeptAnswers(0)
    kept.add(np.ones(2, bool), np.zeros(2), 0, np.full((2, 1), np.nan), [])
    assert kept.count == 2
    assert kept.result(np.full(2, np.nan), 0)[0] == ()
