"""Boxes that a model looks into beside true boxes, by hand."""

import numpy as np
import pytest

from lookcloser.core.results.scores import flat_scores
from lookcloser.evaluation.localization.scale_boxes import ScaleBoxTally, look_names

SIZE = (80, 40)


def boxes(*pixels, size=SIZE):
    """(1, S, 4) in [-1, 1] from boxes in pixels."""
    return np.array(pixels, np.float32)[None] / np.tile(size, 2) * 2 - 1


def test_each_scale_is_scored_beside_a_box_of_its_size_in_the_middle():
    tally = ScaleBoxTally()
    truth = [[(0, 0, 40, 40)]]
    tally.add(boxes((0, 0, 40, 40), (0, 0, 20, 20)), truth, [SIZE])
    tally.add(boxes((40, 0, 80, 40), (50, 10, 60, 20)), truth, [SIZE])
    assert flat_scores(tally.scores()) == pytest.approx(
        {
            "BoxAcc@0.5 scale 2": 0.5,
            "BoxAcc@0.5 scale 2 center box": 0.0,  # IoU 1/3 with a half
            "mean IoU scale 2": 0.5,
            "mean IoU scale 2 center box": 1 / 3,
            "pointing scale 2": 0.5,
            "pointing scale 2 center box": 1.0,  # the border counts
            "BoxAcc@0.5 scale 3": 0.0,
            "BoxAcc@0.5 scale 3 center box": 0.0,
            "mean IoU scale 3": 0.25 / 2,
            "mean IoU scale 3 center box": (200 / 1800 + 50 / 1650) / 2,
            "pointing scale 3": 0.5,
            "pointing scale 3 center box": 1.0,
        }
    )
    assert all(score.higher_is_better and score.of_evidence for score in tally.scores())


def test_any_true_box_counts_and_images_without_are_left_out():
    tally = ScaleBoxTally()
    two = [[(70, 30, 80, 40), (0, 0, 20, 20)], []]
    tally.add(np.concatenate([boxes((0, 0, 20, 20)), boxes((0, 0, 80, 40))]), two, [SIZE, SIZE])
    scores = flat_scores(tally.scores())
    assert scores["mean IoU scale 2"] == pytest.approx(1)
    assert scores["BoxAcc@0.5 scale 2"] == scores["pointing scale 2"] == 1


def test_places_have_names_of_their_own():
    tally = ScaleBoxTally("place")
    tally.add(boxes((0, 0, 20, 20), (40, 0, 80, 40)), [[(0, 0, 20, 20)]], [SIZE])
    scores = flat_scores(tally.scores())
    assert (scores["pointing place 1"], scores["pointing place 2"]) == (1, 0)
    assert not [name for name in scores if "scale" in name]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("scale", ("scale 1", "scale 2", "scale 3")),
        ("place", ("whole image", "place 1", "place 2")),
    ],
)
def test_the_first_look_is_at_the_whole_image(kind, names):
    assert look_names(kind, 3) == names


def test_nothing_without_boxes():
    tally = ScaleBoxTally()
    tally.add(None, [[(0, 0, 1, 1)]], [SIZE])
    tally.add(boxes((0, 0, 20, 20)), [[]], [SIZE])
    assert tally.scores() == ()
