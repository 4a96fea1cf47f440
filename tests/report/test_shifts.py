import base64
import io

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Answer, Evaluation, Prediction
from lookcloser.core.results.scores import Score
from lookcloser.core.results.shifts import ScaleShift, Shifts, StepShift
from lookcloser.report import write_report
from lookcloser.report.shifts import POINTS, shifts, step_rows, view_rows

STEPS = {
    1: {"answers": 3.0, "size": 0.25},
    2: {"answers": 2.0, "overlap": 0.5, "distance": 0.1, "size": 0.125},
}
VIEW = {
    "images": 7.0, "area": 0.25, "area sd": 0.05, "x": 0.5, "x sd": 0.25, "y": 0.4, "y sd": 0.1,
    "inside": 1.0,
}  # fmt: skip
ARROWS = np.array([[[0.125, 0.25], [0.625, 0.25]], [[0.375, 0.25], [0.875, 0.25]]])


def step(measures=(), mean_map=None, arrows=ARROWS[:0], mean_arrow=None):
    mean_map = np.eye(2, 4) if mean_map is None else mean_map
    return StepShift(dict(measures), mean_map, arrows, mean_arrow)


def scale(measures=(), boxes=((0.0, 0.0, 0.5, 0.5),)):
    array = np.array(boxes)
    areas = (array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1])
    return ScaleShift(dict(measures), areas, array)


def evaluation(steps=None, scales=None):
    answer = Answer(Prediction("multilabel", (), (), (40, 10)), ())
    found = Shifts(steps or {}, scales or {})
    exact = (Score("exact", 1.0, higher_is_better=True),)
    return Evaluation("multilabel", "test", ("a",), exact, (answer,), shifts=found)


def test_the_tables_show_the_measures():
    first, second = step_rows({number: step(row) for number, row in STEPS.items()})
    assert first == {
        "step": 1, "answers": 3, "overlap": "", "distance": "", "size": "25.0\u202f%"
    }  # fmt: skip
    assert second["overlap"] == "50.0\u202f%"
    assert second["distance"] == "10.0\u202f%"
    (view,) = view_rows({2: scale(VIEW)})
    assert view["view"] == 2
    assert view["area"] == "25.0\u202f% ± 5.0\u202f%"
    assert view["across"] == "50\u202f% ± 25\u202f%"
    assert view["down"] == "40\u202f% ± 10\u202f%"


def test_measures_that_are_missing_leave_a_dash():
    assert step_rows({2: step({"answers": 1.0})})[0]["overlap"] == "–"
    assert view_rows({2: scale({"mine": 1.0})})[0]["area"] == "– ± –"


def test_the_mean_map_is_drawn_up_to_its_highest_place():
    half = np.zeros((2, 4))
    half[0, 0] = half[0, 3] = 0.5
    (picture,) = shifts(evaluation({1: step(mean_map=half)}))["step_images"]
    data = base64.b64decode(picture["map"].removeprefix("data:image/png;base64,"))
    image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert image.shape == (2, 4)
    assert image[0, 0] == image[0, 3] > 200
    assert image[1].max() < 10
    assert shifts(evaluation({1: step(mean_map=np.zeros((2, 4)))}))["step_images"][0]["map"]


def test_arrows_and_their_mean():
    moved = {1: step(), 2: step(arrows=ARROWS, mean_arrow=ARROWS.mean(axis=0))}
    first, second = shifts(evaluation(moved))["step_images"]
    assert first["arrows"] == []
    assert first["mean"] is None
    assert second["arrows"][0] == {"x1": 0.125, "y1": 0.25, "x2": 0.625, "y2": 0.25}
    assert second["mean"] == {"x1": 0.25, "y1": 0.25, "x2": 0.75, "y2": 0.25}
    still = step(mean_arrow=np.full((2, 2), 0.5))
    assert shifts(evaluation({2: still}))["step_images"][0]["mean"] is None, "nothing moved"


def test_views_have_their_sizes_middles_and_mean_box():
    boxes = [(0, 0, 0.5, 0.5), (0, 0, 0.5, 0.5)]
    found = shifts(evaluation(scales={2: scale(VIEW, boxes), 3: scale(VIEW)}))["view_images"]
    assert [picture["view"] for picture in found] == [2, 3]
    assert found[0]["points"] == [[0.25, 0.25], [0.25, 0.25]]
    assert found[0]["box"] == {"x": 0, "y": 0, "width": 0.5, "height": 0.5}
    counts = [bar["text"][-1] for bar in found[0]["sizes"]["bars"]]
    assert counts.index("2") == 5, "the bar from 0.25 on"


def test_points_are_few():
    many = scale(VIEW, [(0, 0, 0.5, 0.5)] * (3 * POINTS + 1))
    (found,) = shifts(evaluation(scales={2: many}))["view_images"]
    assert POINTS / 2 < len(found["points"]) <= POINTS


def test_nothing_moves_without_shifts():
    assert shifts(evaluation()) is None


MOVING = {number: step(row) for number, row in STEPS.items()}


@pytest.mark.parametrize(
    ("steps", "scales", "shown", "missing"),
    [
        (MOVING, None, "From step to step", "Views in views"),
        (None, {2: scale(VIEW)}, "Views in views", "From step to step"),
        (None, None, "", "How the evidence moves"),
    ],
)
def test_the_page_shows_what_there_is(tmp_path, parse, steps, scales, shown, missing):
    found = evaluation(steps, scales)
    page = parse(write_report(tmp_path / "a.html", found).read_text(encoding="utf-8"))
    assert shown in page.text
    assert missing not in page.text
    assert "step 2 overlap" not in page.text, "in its table only"
    for tag, attributes in page.tags:
        if tag == "image":
            assert attributes["href"].startswith("data:image/png;base64,")
