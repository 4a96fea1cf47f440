"""From arrays to predictions, against torch and by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lookcloser.core import Label, LookcloserError
from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.core.errors import NotFiniteError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.explain import normalize
from lookcloser.layers.class_head import best_classes
from lookcloser.runtime import (
    ArrayOutput,
    Promise,
    heatmaps_of,
    label_scores,
    map_regions,
    predictions,
)
from lookcloser.runtime.answering import best_labels, sigmoid, softmax
from lookcloser.runtime.onnx_engine import _above

NAMES = ("cat", "dog", "owl")
HEADER = ModelHeader("cam", {}, "classification", NAMES, Preprocessing((40, 40)))
TAGS = replace(HEADER, task="multilabel", evidence_kind="step")
CAPTIONS = replace(HEADER, task="captioning", evidence_kind="word")


def bright(column, row, size=4):
    """A map (size, size) with one bright cell."""
    array = np.full((size, size), -1, np.float32)
    array[row, column] = 2
    return array


@pytest.mark.parametrize("scale", [1, 80])
def test_scores_are_those_of_torch(scale):
    logits = (np.random.default_rng(0).standard_normal((5, 7)) * scale).astype(np.float32)
    wide = torch.from_numpy(logits).double()
    np.testing.assert_allclose(softmax(logits), wide.softmax(1), rtol=1e-4, atol=1e-30)
    np.testing.assert_allclose(sigmoid(logits), wide.sigmoid(), rtol=1e-4, atol=1e-30)
    assert np.array_equal(label_scores(logits, HEADER), softmax(logits))
    assert np.array_equal(label_scores(logits, TAGS), sigmoid(logits))


def test_the_best_labels_come_first_and_equal_ones_in_their_order():
    logits = np.array([0.2, 0.4, 0.4], np.float32)
    labels = best_labels(logits, softmax(logits), NAMES, 5)
    assert [(label.name, label.index) for label in labels] == [("dog", 1), ("owl", 2), ("cat", 0)]


@pytest.mark.parametrize("row", [[900, 0, 50], [0, 0, 0], [7, 9, 9]])
def test_labels_and_maps_are_of_the_same_classes_in_the_same_order(row):
    """Also where scores are rounded to equal ones, and whatever runs the network."""
    logits = np.array([row], np.float32)
    expected = sorted(range(3), key=lambda index: (-row[index], index))
    tokens = best_classes(torch.from_numpy(logits), 3)
    assert tokens.tolist() == [expected]
    maps = np.ones((1, 3, 2, 2), np.float32)
    output = ArrayOutput(logits, maps, tokens.numpy())
    (answer,) = predictions(output, HEADER, [(8, 8)], 3)
    assert [label.index for label in answer.labels] == expected
    assert [region.label for region in answer.regions] == [label.name for label in answer.labels]


def test_tags_too_are_ranked_by_what_is_not_rounded():
    logits = np.array([[40.0, 90.0, 60.0]], np.float32)
    assert sigmoid(logits).tolist() == [[1, 1, 1]]
    assert _above(logits, 0.5).tolist() == [[1, 2, 0]]


def test_heatmaps_are_those_of_explain():
    maps = np.random.default_rng(1).standard_normal((3, 2, 4, 5)).astype(np.float32)
    maps[0, 0] = -1
    assert np.array_equal(heatmaps_of(maps), normalize(torch.from_numpy(maps)).numpy())
    assert not heatmaps_of(maps)[0, 0].any()
    clipped = normalize(torch.from_numpy(maps), 0.8).numpy()
    assert np.array_equal(heatmaps_of(maps, 0.8), clipped)
    assert not np.array_equal(clipped, heatmaps_of(maps))


def test_a_classification_has_a_region_for_each_token_and_its_box_in_the_original():
    output = ArrayOutput(
        logits=np.array([[0.0, 2.0, 1.0]], np.float32),
        maps=np.stack([bright(3, 0), bright(0, 3), bright(1, 1)])[None],
        tokens=np.array([[1, 2, -1]]),
    )
    (found,) = predictions(output, HEADER, [(400, 80)], top=2)
    assert [label.name for label in found.labels] == ["dog", "owl"]
    assert [(region.label, region.kind, region.step) for region in found.regions] == [
        ("dog", "map", None),
        ("owl", "map", None),
    ]
    x0, y0, x1, y1 = found.regions[0].box
    assert x0 > 200
    assert (y0, x1) == (0, 400)
    assert y1 < 40
    assert found.regions[1].score == pytest.approx(found.labels[1].score)


def test_a_map_without_positive_evidence_has_no_box():
    output = ArrayOutput(
        np.zeros((1, 3), np.float32), (bright(0, 0) - 3)[None, None], np.array([[0]])
    )
    (found,) = predictions(output, HEADER, [(40, 40)], top=1)
    assert found.regions[0].box is None
    assert found.regions[0].says_nothing == "no evidence"


def test_parts_and_scales_become_regions():
    output = ArrayOutput(
        np.array([[0.0, 1.0, 0.0]], np.float32),
        boxes=np.array([[[-0.5, -1.0, 0.5, 0.0]]], np.float32),
        scale_logits=np.array([[[0, 0, 0], [0, 3, 0]]], np.float32),
        part_maps=np.stack([bright(0, 0), bright(1, 1)])[None],
    )
    (found,) = predictions(output, HEADER, [(100, 60)], top=1)
    scale, *parts = found.regions
    assert (scale.kind, scale.step, scale.box) == ("scale", 1, (25.0, 0.0, 75.0, 30.0))
    assert scale.score == pytest.approx(np.exp(3) / (np.exp(3) + 2))
    assert [(part.kind, part.step, part.label) for part in parts] == [
        ("part", 0, "dog"), ("part", 1, "dog"),
    ]  # fmt: skip


def test_tags_are_sorted_by_score_and_their_steps_keep_the_order_of_the_path():
    output = ArrayOutput(
        logits=np.array([[3.0, -5.0, 1.0]], np.float32),
        maps=np.stack([bright(1, 1), bright(2, 2)])[None],
        tokens=np.array([[2, 0]]),
    )
    (found,) = predictions(output, TAGS, [(40, 40)], top=5)
    assert [label.name for label in found.labels] == ["cat", "owl"]
    assert [(r.label, r.kind, r.step) for r in found.regions] == [
        ("owl", "step", 0), ("cat", "step", 1),
    ]  # fmt: skip


def test_an_answer_without_any_tag_is_empty():
    output = ArrayOutput(np.zeros((1, 3), np.float32), None, np.array([[-1, -1]]))
    (found,) = predictions(output, TAGS, [(40, 40)], top=5)
    assert (found.labels, found.regions) == ((), ())


def test_words_have_scores_of_their_own_and_make_a_caption():
    output = ArrayOutput(
        logits=np.zeros((1, 3), np.float32),
        maps=np.stack([bright(0, 0), bright(1, 0), bright(2, 0)])[None],
        tokens=np.array([[1, 0, -1]]),
        token_scores=np.array([[0.9, 0.5, 0.0]], np.float32),
    )
    (found,) = predictions(output, CAPTIONS, [(40, 40)], top=0)
    assert found.caption == "dog cat"
    assert [(r.kind, round(r.score, 3)) for r in found.regions] == [("word", 0.9), ("word", 0.5)]
    assert found.labels == ()


class TestDoubt:
    """What an answer says that it does not know."""

    SURE = np.array([[9.0, 0, 0], [0.2, 0.1, 0], [2.0, 1.9, -5]], np.float32)

    def header(self, **changes):
        quantiles = (0.6,) * len(COVERAGES)
        given = Calibration(1.0, 50, quantiles, quantiles, evidence=0.5, distance=10.0)
        return replace(HEADER, calibration=replace(given, **changes))

    def answers(self, header, promise=None, distances=None):
        output = ArrayOutput(self.SURE, distances=distances)
        return list(predictions(output, header, [(8, 8)] * 3, 2, promise))

    def test_scores_are_at_the_temperature_of_the_model(self):
        cool, hot = self.header(), self.header(temperature=4.0)
        expected = softmax(self.SURE / 4)
        np.testing.assert_allclose(label_scores(self.SURE, hot), expected, rtol=1e-6)
        assert self.answers(hot)[0].labels[0].score == pytest.approx(expected[0, 0])
        assert self.answers(cool)[0].labels[0].score > self.answers(hot)[0].labels[0].score
        tags = replace(hot, task="multilabel")
        np.testing.assert_allclose(label_scores(self.SURE, tags), sigmoid(self.SURE / 4), rtol=1e-6)

    def test_candidates_are_named_where_a_coverage_is_asked_for(self):
        answers = self.answers(self.header(), Promise(0.9))
        named = [[label.name for label in answer.candidates] for answer in answers]
        assert named == [["cat"], [], ["cat", "dog"]], "those with a score of 0.4 at least"
        assert answers[2].coverage == 0.9
        score = label_scores(self.SURE, HEADER)[2, 1]
        assert answers[2].candidates[1].score == pytest.approx(float(score))
        assert self.answers(self.header())[0].candidates is None

    def test_the_other_kind_of_set_is_never_empty(self):
        answers = self.answers(self.header(), Promise(0.9, "aps"))
        assert all(answer.candidates for answer in answers)

    def test_images_of_no_class_are_refused(self):
        said = [answer.refusal for answer in self.answers(self.header())]
        assert said == [None, "like no class it knows", None]
        far = np.array([11.0, 1, 1], np.float32)
        said = [answer.refusal for answer in self.answers(self.header(), distances=far)]
        assert said == ["unlike the training images", "like no class it knows", None]

    def test_a_model_that_was_not_calibrated_says_nothing_and_promises_nothing(self):
        assert [answer.refusal for answer in self.answers(HEADER)] == [None] * 3
        with pytest.raises(LookcloserError, match="not calibrated"):
            self.answers(HEADER, Promise(0.9))

    def test_a_coverage_is_of_one_class(self):
        output = ArrayOutput(self.SURE)
        with pytest.raises(LookcloserError, match="this model answers multilabel"):
            list(predictions(output, TAGS, [(8, 8)] * 3, 2, Promise(0.9)))


@pytest.mark.parametrize("value", [1.0, 0.1, 7.3e-4])
def test_an_even_map_has_no_box(value):
    """Enlarging it leaves differences of rounding, which say nothing."""
    maps = np.full((1, 5, 4), value, dtype=np.float32)
    (region,) = map_regions(
        maps, [Label("cat", 0.5, 0)], ImageSize(300, 200), Grid(48, 32), 0.2, "range"
    )
    assert region.box is None
    assert region.says_nothing == "everywhere alike"


@pytest.mark.parametrize("header", [HEADER, TAGS])
def test_an_answer_that_is_not_finite_has_no_scores(header):
    logits = np.zeros((2, 3), np.float32)
    logits[0, 1] = -np.inf  # ruled out
    assert np.isfinite(label_scores(logits, header)).all()
    for value in (np.nan, np.inf):
        logits[1, 2] = value
        with pytest.raises(NotFiniteError, match="not finite"):
            label_scores(logits, header)


def test_tags_that_are_sure_alike_stand_as_their_logits() -> None:
    logits = np.array([[200.0, 400.0, 300.0]], np.float32)
    header = replace(TAGS, names=("a", "b", "c"))
    output = ArrayOutput(logits, tokens=np.array([[0, 1, 2]]))
    (answer,) = predictions(output, header, [ImageSize(8, 8)], 5)
    assert {label.score for label in answer.labels} == {1.0}
    assert [label.name for label in answer.labels] == ["b", "c", "a"]
