"""What val says of a trained model: where maps are cut, and how far it is to be believed."""

import numpy as np
import pytest

from lookcloser.core.calibration import Calibration
from lookcloser.evaluation import measured_on_val
from lookcloser.evaluation.classification import class_places
from lookcloser.evaluation.localization.box_threshold import (
    FEWEST,
    choose_box_threshold,
    doubt_on_val,
)
from lookcloser.evaluation.localization.scoring import best_cut
from lookcloser.evaluation.loop import Loop
from lookcloser.metrics.thresholds import THRESHOLDS
from lookcloser.uncertainty import OF_A_NETWORK, calibrate, fit_temperature

BOX = (0.0, 0.0, 8.0, 4.0)
LABELS = ["a", "b", "c"] * 10


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(len(LABELS), 3)).astype(np.float32)


def boxed(labels, every=1):
    return [(((own[0], BOX),) if row % every == 0 else ()) for row, own in enumerate(labels)]


def rising():
    """Maps (30, 3, 8, 8) that fill the box above half of their range, and all below."""
    maps = np.full((len(LABELS), 3, 8, 8), 0.4)
    maps[:, :, :4] = 1.0
    maps[:, :, 7, 7] = 0.0
    return maps


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_maps_are_cut_where_the_boxes_of_val_are_found(scripted, split_of, logits, task):
    engine = scripted(logits, rising(), task=task)
    cut = choose_box_threshold(engine, split_of(LABELS, boxed(LABELS), task=task, split="val"))
    assert cut in THRESHOLDS
    assert 0.4 <= cut < 1
    catalog = split_of(LABELS, boxed(LABELS, 3), split="val")
    plain = scripted(logits)
    assert choose_box_threshold(plain, catalog) == best_cut(
        class_places(Loop(plain), catalog.samples), 3
    )


def test_there_is_no_cut_without_val_or_without_boxes(scripted, split_of, logits):
    engine = scripted(logits)
    assert choose_box_threshold(engine, split_of(LABELS, boxed(LABELS), split="train")) is None
    assert choose_box_threshold(engine, split_of(LABELS, split="val")) is None
    writes = scripted(logits, task="captioning")
    catalog = split_of(LABELS, boxed(LABELS), task="captioning", split="val")
    assert choose_box_threshold(writes, catalog) is None, "a word's box has no class"
    assert engine.model.asked == writes.model.asked == []


def test_doubt_is_that_of_all_images_of_val(scripted, split_of, logits):
    found = doubt_on_val(scripted(logits), split_of(LABELS, split="val"))
    truth = np.array(["abc".index(label) for label in LABELS])
    expected = fit_temperature(logits, truth, expected=OF_A_NETWORK)
    assert found == calibrate(logits, truth, expected)
    assert found.images == len(LABELS)


def test_images_of_val_that_are_all_right_do_not_make_it_sure_of_everything(scripted, split_of):
    truth = np.array(["abc".index(label) for label in LABELS])
    engine = scripted(10 * np.eye(3, dtype=np.float32)[truth])
    found = doubt_on_val(engine, split_of(LABELS, split="val"))
    assert found.temperature > 0.1


@pytest.mark.parametrize(
    ("labels", "split", "options"),
    [
        (LABELS[: FEWEST - 1], "val", {}),
        (LABELS, "train", {}),
        (LABELS, "val", {"task": "multilabel"}),
        (LABELS, "val", {"calibration": Calibration(images=3)}),
    ],
    ids=["too few", "no val", "tags", "a closed form has its own"],
)
def test_doubt_is_left_open(scripted, split_of, logits, labels, split, options):
    assert doubt_on_val(scripted(logits, **options), split_of(labels, split=split)) is None


def test_fewest_is_enough(scripted, split_of, logits):
    assert doubt_on_val(scripted(logits), split_of(LABELS[:FEWEST], split="val")) is not None


def test_only_what_was_measured_goes_into_the_header(scripted, split_of, logits):
    engine = scripted(logits, rising())
    assert measured_on_val(engine, split_of(LABELS[:3], split="val")) == {}
    assert set(measured_on_val(engine, split_of(LABELS, split="val"))) == {"calibration"}
    assert set(measured_on_val(engine, split_of("abc", boxed("abc"), split="val"))) == {
        "box_threshold"
    }
    both = measured_on_val(engine, split_of(LABELS, boxed(LABELS), split="val"))
    assert isinstance(both["box_threshold"], float)
    assert both["calibration"].images == len(LABELS)
