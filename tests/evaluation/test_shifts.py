"""The numbers of how evidence moves, from answers whose evidence is known."""

import numpy as np
import pytest

from lookcloser.core import Prediction, Region
from lookcloser.core.results.shifts import ARROWS, STEPS
from lookcloser.evaluation.shifts import ShiftTally


def cell(column):
    found = np.zeros((1, 4), np.float32)
    if column is not None:
        found[0, column] = 1
    return found


def sequence(columns, kind="step"):
    regions = tuple(
        Region(kind, f"t{n}", 0.5, None, cell(column), step=n) for n, column in enumerate(columns)
    )
    return Prediction("multilabel", (), regions[::-1], (40, 10))


def nested(*boxes, size=(100, 100)):
    regions = tuple(Region("scale", "a", 0.5, box, step=n) for n, box in enumerate(boxes, 1))
    return Prediction("classification", (), regions, size)


def tally(*predictions):
    found = ShiftTally()
    for prediction in predictions:  # one by one, as from a stream
        found.add([prediction])
    return found


def scores(found):
    return {score.name: score.value for score in found.scores()}


def measures(found, kind):
    return found.shifts().tables.get(kind, {})


def test_steps_are_means_over_the_answers_that_are_as_long():
    found = tally(sequence([0, 0, 2]), sequence([0, 2]), sequence([1]))
    rows = measures(found, "step")
    assert rows[1] == {"answers": 2, "size": 0.25}, "one step alone does not move"
    assert rows[2] == pytest.approx(
        {"answers": 2, "overlap": 0.5, "distance": 0.25 / 2**0.5, "size": 0.25}
    )
    assert rows[3] == pytest.approx(
        {"answers": 1, "overlap": 0, "distance": 0.5 / 2**0.5, "size": 0.25}
    )
    means = scores(found)
    assert means["shift overlap"] == pytest.approx(1 / 3)
    assert means["shift distance"] == pytest.approx((0 + 0.5 + 0.5) / 3 / 2**0.5)
    assert means["region size"] == pytest.approx(0.25)
    assert all(score.higher_is_better is None for score in found.scores())


def test_words_count_as_steps_and_maps_do_not():
    assert set(measures(tally(sequence([0, 1], "word")), "step")) == {1, 2}
    assert measures(tally(sequence([0, 1], "map")), "step") == {}


def test_long_answers_are_cut():
    found = tally(sequence([0, 1] * 20))
    assert len(measures(found, "step")) == STEPS
    assert scores(found)["shift overlap"] == 0


def test_failed_answers_and_steps_without_evidence():
    failed = Prediction("multilabel", (), (), (0, 0), error="x")
    rows = measures(tally(failed, sequence([0, 1]), sequence([None, None])), "step")
    assert rows[2]["overlap"] == 0
    assert rows[2]["answers"] == 2
    nothing = tally(sequence([None, None]))
    assert measures(nothing, "step") == {1: {"answers": 1}, 2: {"answers": 1}}, "no NaN"
    assert scores(nothing) == {}


def test_a_mean_map_counts_every_answer_alike():
    strong, weak = sequence([0, 0]), sequence([3, 3])
    for region in weak.regions:
        region.heatmap[:] /= 10
    first = tally(strong, weak).shifts().steps[1]
    np.testing.assert_allclose(first.mean_map, [[0.5, 0, 0, 0.5]])
    blank = tally(strong, sequence([None, None])).shifts().steps[1]
    np.testing.assert_allclose(blank.mean_map, [[0.5, 0, 0, 0]])


def test_arrows_go_from_the_center_before_to_this_one():
    first, second = tally(sequence([0, 2]), sequence([1, 3])).shifts().steps.values()
    assert first.arrows.shape == (0, 2, 2)
    assert first.mean_arrow is None
    np.testing.assert_allclose(second.arrows[0], [[0.125, 0.5], [0.625, 0.5]])
    np.testing.assert_allclose(second.mean_arrow, [[0.25, 0.5], [0.75, 0.5]])


def test_arrows_are_few_and_known():
    many = tally(*[sequence([0, 1])] * 99, sequence([0, None])).shifts().steps[2]
    assert many.arrows.shape == (ARROWS, 2, 2)
    assert np.isfinite(many.mean_arrow).all()
    blank = tally(sequence([None, None])).shifts().steps[2]
    assert len(blank.arrows) == 0
    assert blank.mean_arrow is None


def test_scales_by_their_number():
    found = tally(
        nested((0, 0, 50, 50), (0, 0, 25, 25)),
        nested((50, 50, 100, 100), (90, 90, 100, 100)),
        nested((0, 0, 200, 50), size=(200, 100)),
    )
    rows = measures(found, "scale")
    assert list(rows) == [2, 3]
    areas, x = np.array([0.25, 0.25, 0.5]), np.array([0.25, 0.75, 0.5])
    assert rows[2] == pytest.approx(
        {"images": 3, "area": areas.mean(), "area sd": areas.std(), "x": 0.5, "x sd": x.std(),
         "y": np.mean([0.25, 0.75, 0.25]), "y sd": np.std([0.25, 0.75, 0.25]), "inside": 1}
    )  # fmt: skip
    assert rows[3]["images"] == 2
    assert rows[3]["area"] == pytest.approx((0.0625 + 0.01) / 2)
    scale = found.shifts().scales[2]
    np.testing.assert_allclose(scale.areas, areas)
    np.testing.assert_allclose(scale.boxes[1:], [[0.5, 0.5, 1, 1], [0, 0, 1, 0.5]])


def test_answers_without_either_have_none():
    assert tally(Prediction("classification", (), (), (10, 10))).shifts().flat == {}
    assert tally().shifts().flat == {}
