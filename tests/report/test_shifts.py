import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Answer, Evaluation, Prediction, Region
from lookcloser.report import write_report
from lookcloser.report.shifts import (
    ARROWS,
    POINTS,
    shifts,
    step_pictures,
    step_rows,
    view_pictures,
    view_rows,
)

STEPS = {
    "step 1 answers": 3.0, "step 1 size": 0.25,
    "step 2 answers": 2.0, "step 2 overlap": 0.5, "step 2 distance": 0.1, "step 2 size": 0.125,
}  # fmt: skip
VIEWS = {
    "scale 2 pictures": 7.0, "scale 2 area": 0.25, "scale 2 area sd": 0.05, "scale 2 x": 0.5,
    "scale 2 x sd": 0.25, "scale 2 y": 0.4, "scale 2 y sd": 0.1, "scale 2 inside": 1.0,
}  # fmt: skip


def cell(column, row=0):
    found = np.zeros((2, 4), np.float32)
    if column is not None:
        found[row, column] = 1
    return found


def sequence(*columns):
    regions = tuple(
        Region("step", f"t{n}", 0.5, None, cell(column), step=n) for n, column in enumerate(columns)
    )
    return Answer(Prediction("multilabel", (), regions, (40, 10)), ())


def nested(*boxes, size=(100, 100)):
    regions = tuple(Region("scale", "a", 0.5, box, step=n) for n, box in enumerate(boxes, 1))
    return Answer(Prediction("classification", (), regions, size), ("a",))


def evaluation(*answers, metrics=()):
    return Evaluation("multilabel", "test", ("a",), dict(metrics), answers)


def test_the_tables_show_the_scores_of_the_evaluation():
    first, second = step_rows(STEPS | VIEWS)
    assert first == {
        "step": 1, "answers": 3, "overlap": "", "distance": "", "size": "25.0\u202f%"
    }  # fmt: skip
    assert second["overlap"] == "50.0\u202f%"
    assert second["distance"] == "10.0\u202f%"
    (view,) = view_rows(STEPS | VIEWS)
    assert view["view"] == 2
    assert view["area"] == "25.0\u202f% ± 5.0\u202f%"
    assert view["across"] == "50\u202f% ± 25\u202f%"
    assert view["down"] == "40\u202f% ± 10\u202f%"


def test_scores_that_are_missing_leave_a_dash():
    assert step_rows({"step 2 answers": 1.0})[0]["overlap"] == "–"
    assert view_rows({"scale 2 mine": 1.0})[0]["area"] == "– ± –"


def test_a_mean_map_counts_every_answer_alike():
    strong = sequence(0, 0)
    regions = tuple(replace(r, heatmap=cell(3) / 10) for r in sequence(0, 0).prediction.regions)
    weak = replace(strong, prediction=replace(strong.prediction, regions=regions))
    picture = step_pictures(evaluation(strong, weak))[0]
    data = base64.b64decode(picture["map"].removeprefix("data:image/png;base64,"))
    image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert image.shape == (2, 4)
    assert image[0, 0] == image[0, 3] > 200
    assert image[1].max() < 10


def test_arrows_go_from_the_centre_before_to_this_one():
    first, second = step_pictures(evaluation(sequence(0, 2), sequence(1, 3)))
    assert first["arrows"] == []
    assert first["mean"] is None
    assert second["arrows"][0] == {"x1": 0.125, "y1": 0.25, "x2": 0.625, "y2": 0.25}
    assert second["mean"] == {"x1": 0.25, "y1": 0.25, "x2": 0.75, "y2": 0.25}


def test_arrows_are_few_and_known():
    many = step_pictures(evaluation(*[sequence(0, 1)] * 99, sequence(0, None)))[1]
    assert len(many["arrows"]) == ARROWS
    still = step_pictures(evaluation(sequence(1, 1)))[1]
    assert still["mean"] is None, "nothing moved"
    blank = step_pictures(evaluation(sequence(None, None)))[1]
    assert (blank["arrows"], blank["mean"]) == ([], None)


def test_views_have_their_sizes_middles_and_mean_box():
    found = view_pictures(
        evaluation(nested((0, 0, 100, 50), size=(200, 100)), nested((0, 0, 50, 50), (0, 0, 20, 20)))
    )
    assert [picture["view"] for picture in found] == [2, 3]
    assert found[0]["points"] == [[0.25, 0.25], [0.25, 0.25]]
    assert found[0]["box"] == {"x": 0, "y": 0, "width": 0.5, "height": 0.5}
    counts = [bar["text"][-1] for bar in found[0]["sizes"]["bars"]]
    assert counts.index("2") == 5, "the bar from 0.25 on"


def test_points_are_few():
    many = view_pictures(evaluation(*[nested((0, 0, 50, 50))] * (3 * POINTS + 1)))
    assert POINTS / 2 < len(many[0]["points"]) <= POINTS


def test_nothing_moves_without_scores():
    assert shifts(evaluation(sequence(0, 1))) is None


@pytest.mark.parametrize(
    ("answer", "metrics", "shown", "missing"),
    [
        (sequence(0, 2), STEPS, "From step to step", "Views in views"),
        (nested((0, 0, 50, 50)), VIEWS, "Views in views", "From step to step"),
        (sequence(0, 2), {}, "", "How the evidence moves"),
    ],
)
def test_the_page_shows_what_there_is(tmp_path, parse, answer, metrics, shown, missing):
    found = evaluation(answer, metrics={"exact": 1.0, **metrics})
    page = parse(write_report(tmp_path / "a.html", found).read_text(encoding="utf-8"))
    assert shown in page.text
    assert missing not in page.text
    assert "step 2 overlap" not in page.text, "in its table only"
    for tag, attributes in page.tags:
        if tag == "image":
            assert attributes["href"].startswith("data:image/png;base64,")
