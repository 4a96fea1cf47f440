"""The four shapes of sequence task of the example: their gradients, and what is learned."""

from pathlib import Path

import numpy as np
import pytest

from lookcloser.scratch import check_gradients

from ..programs import load_program

EXAMPLE = Path(__file__).parents[2] / "examples" / "05_sequence_shapes.py"


@pytest.fixture(scope="module")
def shapes():
    return load_program("examples", "05_sequence_shapes")


def assert_gradients(model, *batch):
    _, grads = model.loss(*batch)
    errors = check_gradients(lambda: model.loss(*batch)[0], model.params, grads)
    assert max(errors.values()) <= 1e-6, errors


def test_one_to_many(shapes):
    assert shapes.one_to_many() == list(shapes.CAPTIONS)


def test_many_to_one(shapes, rng):
    assert_gradients(shapes.Sentiment(rng), *shapes.sentence_task(rng, 3))
    assert shapes.many_to_one(rng) >= 0.95


def test_many_to_many(shapes, rng):
    assert_gradients(shapes.Translator(rng, W=2, H=3), *shapes.translation_task(rng, 2))
    assert shapes.many_to_many(rng) >= 0.95


def test_per_frame(shapes, rng):
    assert_gradients(shapes.FrameLabels(rng), *shapes.frame_task(rng, 3))
    assert shapes.per_frame(rng) >= 0.97


def test_the_tasks_are_what_they_say(shapes, rng):
    features, captions = shapes.caption_task()
    assert captions.tolist()[:2] == [[1, 3, 4, 6, 2, 0], [1, 3, 5, 7, 2, 0]]
    assert features.shape == (4, 4)
    source, target = shapes.translation_task(rng, 5)
    np.testing.assert_array_equal(source[:, 0] + target[:, -1], 6)


@pytest.mark.parametrize("kind", ["Sentiment", "FrameLabels"])
def test_later_steps_cannot_reach_back(shapes, rng, kind):
    """Per frame the past alone counts; for a sentence the last word does."""
    model, words = getattr(shapes, kind)(rng), kind == "Sentiment"
    batch = (shapes.sentence_task if words else shapes.frame_task)(rng, 4)[0]
    changed = batch.copy()
    changed[:, -1] = 7 - batch[:, -1] if words else batch[:, -1] + 1
    before, after = model.scores(batch)[0], model.scores(changed)[0]
    if not words:
        np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
        before, after = before[:, -1], after[:, -1]
    assert (before != after).all()
