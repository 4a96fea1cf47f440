"""An evaluation keeps numbers of its images, not their maps, and says the same with few answers."""

import gc
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import Catalog, Sample
from lookcloser.data.vocabulary import SPECIALS
from lookcloser.models import build_model
from lookcloser.recognizer import Recognizer

SIDE, FEW, MANY, BATCH = 128, 40, 136, 8
NAMES = ("blue", "green", "red")
BOX = (20.0, 30.0, 90.0, 100.0)
TASKS = {"cam": "classification", "racnn": "classification", "sigmoid": "multilabel",
         "cnnrnn": "multilabel", "lstm": "captioning"}  # fmt: skip
# A map of 16 × 16 values takes 1 KB; each answer has one or more.
PER_IMAGE = 900


def recognizer(method):
    """A network with random weights whose maps are 16 × 16."""
    torch.manual_seed(0)
    size = (SIDE, SIDE)
    arguments = {"backbone": "test_resnet", "stride": 8}
    arguments |= {"size": SIDE // 2, "scales": 2} if method == "racnn" else {}
    names = (*SPECIALS, "a", "dog") if method == "lstm" else NAMES
    arguments |= {"attend": True} if method == "lstm" else {}
    header = ModelHeader(
        method, {"num_classes": len(names), **arguments}, TASKS[method], names, Preprocessing(size)
    )
    return Recognizer(build_model(method, header.arguments), header, device="cpu")


def data(method, count):
    """The same few images again and again, in memory."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(4)]
    samples = []
    for number in range(count):
        given = {
            "classification": {
                "labels": (NAMES[number % 3],),
                "boxes": ((NAMES[number % 3], BOX),),
            },
            "multilabel": {"labels": NAMES[:2], "boxes": ((NAMES[0], BOX), (NAMES[1], BOX))},
            "captioning": {"captions": ("a dog",), "boxes": (("dog", BOX),)},
        }[TASKS[method]]
        samples.append(Sample(f"{number}.png", images[number % 4], split="test", **given))
    names = () if TASKS[method] == "captioning" else NAMES
    return Catalog(Path("memory"), "made", TASKS[method], names, tuple(samples))


def growth(asked, catalog, **options):
    """Bytes for each further image that an evaluation holds between its batches."""
    sizes = {}

    def measure(done, _total):
        if done == FEW - BATCH:  # tracing makes all slow: what is set up is not traced
            tracemalloc.start()
        if done in {FEW, MANY}:
            gc.collect()
            sizes[done] = tracemalloc.get_traced_memory()[0]

    try:
        found = asked.evaluation(catalog, batch_size=BATCH, progress=measure, **options)
    finally:
        tracemalloc.stop()
    return found, (sizes[MANY] - sizes[FEW]) / (MANY - FEW)


@pytest.mark.parametrize("method", TASKS)
def test_memory_does_not_grow_by_maps(method):
    asked, catalog = recognizer(method), data(method, MANY)
    found, bytes_each = growth(asked, catalog, evidence=1, threshold_from="none")
    assert len(found.images.correct) == MANY
    assert bytes_each < PER_IMAGE
    assert 0 < len(found.answers) <= 6


def test_the_test_can_tell():
    assert growth(recognizer("cam"), data("cam", MANY), threshold_from="none")[1] > 2 * PER_IMAGE


@pytest.mark.parametrize("method", TASKS)
@pytest.mark.parametrize("threshold_from", ["split", "none"])
def test_scores_do_not_depend_on_what_is_kept_nor_on_the_batches(method, threshold_from):
    asked, catalog = recognizer(method), data(method, FEW)
    whole = asked.evaluation(catalog, threshold_from=threshold_from, batch_size=8)
    few = asked.evaluation(catalog, threshold_from=threshold_from, batch_size=8, evidence=0)
    assert few.metrics == whole.metrics
    assert few.answers == ()
    assert [score.interval for score in few.scores] == [score.interval for score in whole.scores]
    assert few.settings == whole.settings
    np.testing.assert_array_equal(few.images.ious, whole.images.ious)
    other = asked.evaluation(catalog, threshold_from=threshold_from, batch_size=5, evidence=0)
    assert other.metrics == pytest.approx(whole.metrics, rel=1e-4)


@pytest.mark.parametrize("method", TASKS)
def test_every_score_says_which_end_is_better(method):
    found = recognizer(method).evaluation(data(method, 8), evidence=0)
    lower = {score.name for score in found.scores if score.higher_is_better is False}
    neither = {score.name for score in found.scores if score.higher_is_better is None}
    assert lower == {"ece", "nll"} & {score.name for score in found.scores}
    assert neither <= {"shift overlap", "shift distance", "region size"}
    for score in found.scores:
        assert isinstance(score.value, float), score.name
        if score.is_share and np.isfinite(score.value):
            assert 0 <= score.value <= 1, score.name
        if score.baselines:
            assert score.of_evidence, score.name
    keys = found.to_dict()
    assert all(key.isidentifier() and key == key.lower() for key in keys)
    flat = [key for key, value in keys.items() if isinstance(value, float)]
    assert len(flat) >= len(found.metrics) - 3, "no two names have one key"


def test_what_a_model_says_of_its_doubt_needs_no_answer_kept():
    asked, catalog = recognizer("cam"), data("cam", FEW)
    calibration = Calibration(lac=(0.6,) * len(COVERAGES), evidence=1e-3, images=40)
    asked.header = replace(asked.header, calibration=calibration)
    whole = asked.evaluation(catalog, batch_size=8)
    few = asked.evaluation(catalog, batch_size=8, evidence=0)
    assert few.metrics == whole.metrics
    refused = [answer.prediction.refusal is not None for answer in whole.answers]
    assert whole.score("refused").value == pytest.approx(np.mean(refused))
    assert "refused unlike" not in whole.metrics, "it knows no distance"
    found = asked.predict([sample.source for sample in catalog.samples], coverage=0.95)
    names = [{label.name for label in answer.candidates} for answer in found]
    shown = [{label.name for label in answer.prediction.candidates} for answer in whole.answers]
    assert shown == names, "a report shows the sets that it scores"
    truth = [sample.labels[0] for sample in catalog.samples]
    covered = [name in own for name, own in zip(truth, names, strict=True)]
    assert whole.score("coverage@95%").value == pytest.approx(np.mean(covered))
    size = whole.score("set size@95%")
    assert size.value == pytest.approx(np.mean([len(own) for own in names]))
    assert not size.is_share
    assert size.higher_is_better is False


def test_progress_is_told_after_each_batch():
    told = []
    recognizer("cam").evaluation(
        data("cam", 10), batch_size=4, evidence=0, progress=lambda *counts: told.append(counts)
    )
    assert told == [(4, 10), (8, 10), (10, 10)]
