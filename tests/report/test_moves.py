import numpy as np

from lookcloser.core import Answer, Evaluation, Prediction, Region
from lookcloser.report import write_report
from lookcloser.report.moves import STEPS, step_rows, view_rows


def cell(column):
    found = np.zeros((1, 4), np.float32)
    found[0, column] = 1
    return found


def sequence(columns, kind="step"):
    regions = tuple(
        Region(kind, f"t{n}", 0.5, None, cell(column), step=n) for n, column in enumerate(columns)
    )
    prediction = Prediction("multilabel", (), regions[::-1], (40, 10))
    return Answer(prediction, ())


def nested(*boxes):
    regions = tuple(Region("scale", "a", 0.5, box, step=n) for n, box in enumerate(boxes, 1))
    return Answer(Prediction("classification", (), regions, (100, 100)), ("a",))


def evaluation(*answers):
    return Evaluation("multilabel", "test", ("a",), {}, answers)


def test_steps_are_means_over_the_answers_that_are_as_long():
    rows = step_rows(evaluation(sequence([0, 0, 2]), sequence([0, 2]), sequence([1])))
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["answers"] for row in rows] == [2, 2, 1], "one step alone does not move"
    assert rows[0]["overlap"] == rows[0]["distance"] == ""
    assert rows[1]["overlap"] == "50.0\u202f%"
    assert rows[2]["overlap"] == "0.0\u202f%"
    assert rows[2]["distance"] == f"{50 / 2**0.5:.1f}\u202f%"
    assert {row["size"] for row in rows} == {"25.0\u202f%"}


def test_words_count_as_steps_and_maps_do_not():
    assert len(step_rows(evaluation(sequence([0, 1], "word")))) == 2
    assert step_rows(evaluation(sequence([0, 1], "map"))) == []


def test_long_answers_are_cut():
    assert len(step_rows(evaluation(sequence([0, 1] * 20)))) == STEPS


def test_failed_answers_and_steps_without_evidence():
    failed = Answer(Prediction("multilabel", (), (), (0, 0), error="x"), ())
    empty = sequence([0, 1])
    blank = tuple(Region("step", "t", 0.5, None, np.zeros((1, 4), np.float32), step=n)
                  for n in range(2))  # fmt: skip
    nothing = Answer(Prediction("multilabel", (), blank, (40, 10)), ())
    rows = step_rows(evaluation(failed, empty, nothing))
    assert rows[1]["overlap"] == "0.0\u202f%"
    assert step_rows(evaluation(nothing))[1]["overlap"] == "–"


def test_views_by_their_level():
    rows = view_rows(
        evaluation(
            nested((0, 0, 50, 50), (0, 0, 25, 25)), nested((50, 50, 100, 100), (90, 90, 100, 100))
        )
    )
    assert [row["view"] for row in rows] == [2, 3]
    assert rows[0]["area"] == "25.0\u202f%"
    assert rows[0]["across"] == "50\u202f% ± 25\u202f%"
    assert rows[1]["inside"] == "100.0\u202f%"
    assert view_rows(evaluation(sequence([0, 1]))) == []


def test_the_page_shows_what_there_is(tmp_path, parse):
    page = parse(write_report(tmp_path / "a.html", evaluation(sequence([0, 2]))).read_text())
    assert "From step to step" in page.text
    assert "Views in views" not in page.text
    page = parse(write_report(tmp_path / "b.html", evaluation(nested((0, 0, 50, 50)))).read_text())
    assert "Views in views" in page.text
    assert "From step to step" not in page.text
    page = parse(write_report(tmp_path / "c.html", evaluation()).read_text())
    assert "How the evidence moves" not in page.text
