"""The numbers of how evidence moves, from answers whose evidence is known."""

import numpy as np
import pytest

from lookcloser.core import Prediction, Region
from lookcloser.core.shifts import STEPS, move_rows
from lookcloser.evaluation.shifts import move_scores


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


def test_steps_are_means_over_the_answers_that_are_as_long():
    found = move_scores([sequence([0, 0, 2]), sequence([0, 2]), sequence([1])])
    rows = move_rows(found, "step")
    assert rows[1] == {"answers": 2, "size": 0.25}, "one step alone does not move"
    assert rows[2] == pytest.approx(
        {"answers": 2, "overlap": 0.5, "distance": 0.25 / 2**0.5, "size": 0.25}
    )
    assert rows[3] == pytest.approx(
        {"answers": 1, "overlap": 0, "distance": 0.5 / 2**0.5, "size": 0.25}
    )
    assert found["shift overlap"] == pytest.approx(1 / 3)
    assert found["shift distance"] == pytest.approx((0 + 0.5 + 0.5) / 3 / 2**0.5)
    assert found["region size"] == pytest.approx(0.25)


def test_words_count_as_steps_and_maps_do_not():
    assert set(move_rows(move_scores([sequence([0, 1], "word")]), "step")) == {1, 2}
    assert move_scores([sequence([0, 1], "map")]) == {}


def test_long_answers_are_cut():
    assert len(move_rows(move_scores([sequence([0, 1] * 20)]), "step")) == STEPS


def test_failed_answers_and_steps_without_evidence():
    failed = Prediction("multilabel", (), (), (0, 0), error="x")
    found = move_scores([failed, sequence([0, 1]), sequence([None, None])])
    assert found["step 2 overlap"] == 0
    assert found["step 2 answers"] == 2
    nothing = move_scores([sequence([None, None])])
    assert nothing == {"step 1 answers": 1, "step 2 answers": 1}, "no number rather than NaN"


def test_scales_by_their_number():
    found = move_scores(
        [
            nested((0, 0, 50, 50), (0, 0, 25, 25)),
            nested((50, 50, 100, 100), (90, 90, 100, 100)),
            nested((0, 0, 200, 50), size=(200, 100)),
        ]
    )
    rows = move_rows(found, "scale")
    assert list(rows) == [2, 3]
    areas, x = np.array([0.25, 0.25, 0.5]), np.array([0.25, 0.75, 0.5])
    assert rows[2] == pytest.approx(
        {"pictures": 3, "area": areas.mean(), "area sd": areas.std(), "x": 0.5, "x sd": x.std(),
         "y": np.mean([0.25, 0.75, 0.25]), "y sd": np.std([0.25, 0.75, 0.25]), "inside": 1}
    )  # fmt: skip
    assert rows[3]["pictures"] == 2
    assert rows[3]["area"] == pytest.approx((0.0625 + 0.01) / 2)


def test_answers_without_either_have_none():
    assert move_scores([Prediction("classification", (), (), (10, 10))]) == {}
    assert move_scores([]) == {}
