"""What a model says of label sets, batch by batch, of answers that are known in advance."""

import math

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.evaluation.loop import Loop
from lookcloser.evaluation.multilabel import evaluate_multilabel
from lookcloser.evaluation.tag_sets import tag_batches, tag_places, tag_split

UPPER, LOWER = (0.0, 0.0, 8.0, 4.0), (0.0, 4.0, 8.0, 8.0)
LABELS = ["ab", "", "b", "c", "abc"]
BOXES = [
    (("a", UPPER), ("b", LOWER), ("b", UPPER)),
    (("a", LOWER),),  # of a label that the image does not have
    (),
    ((None, LOWER),),  # without a name: of the only label there is
    (("c", UPPER),),
]
LOGITS = np.array([[3, 1, -2], [-1, -1, -1], [2, -3, -1], [-4, -1, 4], [1, 2, 3]])


@pytest.fixture
def tagged(scripted, split_of):
    """(engine, catalog) of five images; the map of label number n is n everywhere."""
    maps = np.broadcast_to(np.arange(3.0)[:, None, None], (5, 3, 4, 4))
    catalog = split_of(LABELS, BOXES, task="multilabel")
    return scripted(LOGITS, maps, task="multilabel"), catalog


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_all_together_they_are_the_rows_of_the_split(tagged, batch_size):
    engine, catalog = tagged
    found = tag_split(engine, catalog.samples, batch_size=batch_size)
    np.testing.assert_array_equal(found.logits, LOGITS)
    np.testing.assert_array_equal(found.answered, LOGITS > 0)
    truth = [[name in own for name in "abc"] for own in LABELS]
    np.testing.assert_array_equal(found.targets, truth)


def test_a_loss_is_the_sum_over_the_labels(tagged):
    engine, catalog = tagged
    (batch,) = tag_batches(Loop(engine), catalog.samples, [])
    costs = [
        sum(math.log1p(math.exp(-x if name in own else x)) for name, x in zip("abc", row, strict=1))
        for own, row in zip(LABELS, LOGITS, strict=True)
    ]
    assert batch.losses().tolist() == pytest.approx(costs, rel=1e-5)


def test_an_answer_is_right_as_a_whole_set_and_has_every_box(tagged):
    engine, catalog = tagged
    answers = [
        answer
        for batch in tag_batches(Loop(engine, 2), catalog.samples, [])
        for answer in batch.answers(engine.header)
    ]
    assert [answer.correct for answer in answers] == [True, True, False, True, True]
    assert [[label.name for label in a.prediction.labels] for a in answers] == [
        ["a", "b"], [], ["a"], ["c"], ["c", "b", "a"]
    ]  # fmt: skip
    assert [len(answer.boxes) for answer in answers] == [3, 1, 0, 1, 1]
    assert all(answer.iou is None for answer in answers)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_true_labels_with_boxes_have_their_own_map_and_boxes(tagged, batch_size):
    engine, catalog = tagged
    parts = list(tag_places(Loop(engine, batch_size), catalog.samples))
    found = [
        (image, label, places.maps[row].max(), places.boxes[row].tolist())
        for places in parts
        for row, (image, label) in enumerate(zip(places.images, places.classes, strict=True))
    ]
    assert found == [
        (0, 0, 0.0, [list(UPPER)]),
        (0, 1, 1.0, [list(LOWER), list(UPPER)]),
        (3, 2, 2.0, [list(LOWER)]),
        (4, 2, 2.0, [list(UPPER)]),
    ]


def test_maps_are_asked_for_where_there_is_a_box_and_a_label(tagged):
    engine, catalog = tagged
    list(tag_batches(Loop(engine), catalog.samples, []))
    rows, targets = engine.model.asked[-1]
    assert rows == [0, 3, 4]
    assert targets == [[0, 1, 0], [2, 0, 0], [0, 1, 2]], "shorter sets are filled up"
    engine.model.asked.clear()
    list(tag_batches(Loop(engine), catalog.samples[1:3], []))
    assert all(rows == [1, 2] for rows, _ in engine.model.asked)


def test_places_count_the_images_that_can_be_read(scripted, split_of):
    catalog = split_of(LABELS, BOXES, task="multilabel", unreadable=[1])
    engine = scripted(LOGITS, task="multilabel")
    parts = list(tag_places(Loop(engine, 2), catalog.samples))
    assert [places.images.tolist() for places in parts] == [[0, 0], [2], [3]]
    found = evaluate_multilabel(Loop(engine, 2), catalog, "test", threshold_from="none")
    assert [answer.iou is None for answer in found.answers] == [False, True, False, False]
    assert found.images.boxed == 3


def test_a_label_that_the_model_does_not_know(tagged, split_of):
    engine, _ = tagged
    with pytest.raises(LookcloserError, match="z: a class of the data that the model"):
        list(tag_batches(Loop(engine), split_of(["a", "bz"], task="multilabel").samples, []))


def test_labels_are_scored_one_by_one(tagged):
    engine, catalog = tagged
    found = evaluate_multilabel(Loop(engine), catalog, "test", threshold_from="none", evidence=0)
    rows = {name: (r["count"], r["precision"], r["recall"]) for name, r in found.per_class.items()}
    assert rows == {"a": (2, 2 / 3, 1), "b": (3, 1, 2 / 3), "c": (2, 1, 1)}
    assert found.metrics["exact"] == 0.8
    assert "search" not in found.settings
    assert found.neighbors == {}, "a model without vectors of labels"
