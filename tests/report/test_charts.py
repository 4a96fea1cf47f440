"""Coordinates of the charts, worked out by hand."""

import math

import numpy as np
import pytest

from lookcloser.report.charts import Frame, iou_histogram, learning_curves, nice_ticks, reliability


def test_frame_corners():
    frame = Frame((0, 10), (-1, 1), width=100, height=50, left=10, right=10, top=5, bottom=5)
    assert (frame.x(0), frame.x(10), frame.x(5)) == (10, 90, 50)
    assert (frame.y(-1), frame.y(1), frame.y(0)) == (45, 5, 25)
    assert Frame((3, 3), (0, 1), width=100, left=0, right=0).x(3) == 50


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0.31, 3.7, [0, 1, 2, 3, 4]),
        (0.905, 0.931, [0.9, 0.91, 0.92, 0.93, 0.94]),
        (-2, 7, [-2.5, 0, 2.5, 5, 7.5]),
        (0, 1e-3, [0, 0.00025, 0.0005, 0.00075, 0.001]),
    ],
)
def test_ticks_by_hand(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_ticks_always_cover_and_stay_few():
    rng = np.random.default_rng(0)
    for _ in range(300):
        low = rng.normal() * 10.0 ** rng.integers(-6, 6)
        high = low + abs(rng.normal()) * 10.0 ** rng.integers(-6, 6)
        ticks = nice_ticks(low, high)
        slack = 1e-6 * (ticks[1] - ticks[0])
        assert ticks[0] <= low + slack
        assert ticks[-1] >= high - slack
        assert 2 <= len(ticks) <= 7


@pytest.mark.parametrize("value", [0.0, 5.0, -0.2])
def test_ticks_around_one_value(value):
    ticks = nice_ticks(value, value)
    assert ticks[0] < value < ticks[-1]


class TestLearningCurves:
    rows = tuple(
        {"epoch": e, "val_loss": 2.0 - e, "train_loss": 3.0 - e, "val_acc": 0.5, "lr": 0.1}
        for e in range(3)
    )

    def test_phases_share_a_chart_train_first(self):
        charts = learning_curves(self.rows)
        assert [chart["title"] for chart in charts] == ["Loss", "Accuracy", "Learning rate"]
        assert [s["style"] for s in charts[0]["series"]] == ["train", "val"]
        assert [s["style"] for s in charts[2]["series"]] == ["only"]
        assert charts[0]["series"][0]["last"] == "1"

    def test_points(self):
        (train, _) = learning_curves(self.rows)[0]["series"]
        frame = Frame((0, 2), (0, 3))
        expected = [f"{frame.x(e)},{frame.y(3 - e)}" for e in range(3)]
        assert train["line"] == " ".join(expected)
        assert train["end"] == (frame.x(2), frame.y(1))

    def test_gaps_are_left_out(self):
        rows = [
            {"step": 10, "loss": 1.0},
            {"step": 20, "loss": math.nan},
            {"step": 30, "loss": 3.0, "once": 1.0},
        ]
        (chart,) = learning_curves(rows)
        assert chart["x_name"] == "step"
        xs = [float(point.split(",")[0]) for point in chart["series"][0]["line"].split()]
        frame = Frame((10, 30), (0, 1))
        assert xs == [frame.x(10), frame.x(30)]

    def test_rows_without_an_epoch_are_counted(self):
        (chart,) = learning_curves([{"loss": 1.0}, {"loss": 2.0}])
        assert chart["x_name"] == "row"
        assert learning_curves([]) == []


class TestReliability:
    rows = ((0.3, 0.1, 20), (0.0, 0.0, 0), (0.9, 1.0, 80))

    def test_error_and_gap(self):
        chart = reliability(self.rows)
        assert chart["error"] == pytest.approx(0.2 * 0.2 + 0.8 * 0.1)
        assert chart["gap"] == pytest.approx(0.2 * 0.2 - 0.8 * 0.1)
        assert chart["ece"] == "12.0\u202f%"

    def test_points_lie_at_confidence_and_accuracy(self):
        chart = reliability(self.rows)
        frame = chart["frame"]
        assert [(p["x"], p["y"], p["diagonal"]) for p in chart["points"]] == [
            (frame.x(0.3), frame.y(0.1), frame.y(0.3)),
            (frame.x(0.9), frame.y(1.0), frame.y(0.9)),
        ]
        radii = [point["radius"] for point in chart["points"]]
        assert radii == [3 + 6 * 0.5, 9.0], "the area beyond the smallest says how many"

    def test_without_answers(self):
        assert reliability(()) is None
        assert reliability(((0.5, 0.5, 0),)) is None


class TestHistogram:
    def test_counts(self):
        ious = [0.0, 0.05, 0.55, 0.99, 1.0]
        bars = iou_histogram(ious)["bars"]
        counts = [int(bar["text"].split(": ")[1]) for bar in bars]
        expected, _ = np.histogram(ious, bins=10, range=(0, 1))
        assert counts == expected.tolist()
        assert [bar["good"] for bar in bars] == [False] * 5 + [True] * 5
        assert iou_histogram(ious)["share"] == "60.0\u202f%"

    def test_heights_are_proportional_and_ticks_whole(self):
        chart = iou_histogram([0.1] * 3 + [0.9] * 6)
        heights = [bar["height"] for bar in chart["bars"] if bar["height"]]
        assert heights[1] == pytest.approx(2 * heights[0], abs=0.02)
        assert all("." not in text for _, text in iou_histogram([0.5])["y_ticks"])

    def test_without_boxes(self):
        assert iou_histogram([]) is None
