"""The forms of answers on disk: what is written is read again, and counted."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookcloser.batch.forms import FORMS, Form
from lookcloser.core.errors import LookcloserError
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Label, Prediction, Region

MAP = np.array([[0.0, 0.5], [1.0, 0.25]], np.float32)
ANSWERED = Prediction(
    "classification",
    (Label("red", 0.75, 2), Label("blue", 0.25, 0)),
    (Region("map", "red", 0.75, (1.0, 2.0, 3.0, 4.0), MAP),),
    ImageSize(64, 48),
    Path("photos/a, b.jpg"),
)
BROKEN = Prediction(
    "classification", (), (), ImageSize(0, 0), Path("photos/ü.jpg"), error='not "an image"\n'
)


def written(form: Form, folder: Path, *, maps: bool = False) -> Path:
    """A part with an answer and an image without one."""
    if form.needs is not None:
        pytest.importorskip(form.needs, reason="of the extra scale")
    lines = [
        json.dumps({"index": index, **form.record(prediction, maps)})
        for index, prediction in enumerate((ANSWERED, BROKEN))
    ]
    path = folder / f"part{form.suffix}"
    form.write(path, lines)
    return path


@pytest.mark.parametrize("name", FORMS)
def test_images_are_counted_and_those_without_an_answer(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    assert form.counts(written(form, tmp_path)) == (2, 1)


def test_lines_of_json_are_whole_predictions(tmp_path: Path) -> None:
    path = written(FORMS["jsonl"], tmp_path)
    first, second = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    assert first["size"] == [64, 48]
    assert first["labels"][1] == {"name": "blue", "score": 0.25, "index": 0}
    assert first["regions"][0]["heatmap"] is None
    assert second["error"] == 'not "an image"\n'
    assert (first["index"], second["index"]) == (0, 1)


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_maps_are_written_where_they_are_asked_for(name: str, tmp_path: Path) -> None:
    path = written(FORMS[name], tmp_path, maps=True)
    if name == "jsonl":
        first = json.loads(path.read_text("utf-8").splitlines()[0])
    else:
        import pyarrow.parquet

        first = pyarrow.parquet.read_table(path).to_pylist()[0]
    np.testing.assert_allclose(first["regions"][0]["heatmap"], MAP, rtol=1e-6)
    assert ANSWERED.regions[0].heatmap is MAP, "the prediction keeps its own"


def test_a_table_has_a_row_for_each_label(tmp_path: Path) -> None:
    with written(FORMS["csv"], tmp_path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["index"], row["rank"], row["label"]) for row in rows] == [
        ("0", "1", "red"),
        ("0", "2", "blue"),
        ("1", "", ""),
    ]
    assert rows[0]["path"] == "photos/a, b.jpg"
    assert [float(rows[0][key]) for key in ("x0", "y0", "x1", "y1")] == [1, 2, 3, 4]
    assert rows[2]["error"] == 'not "an image"\n'


def test_a_label_that_is_a_formula_is_a_text_in_a_table(tmp_path: Path) -> None:
    evil = replace(ANSWERED, path=Path("=1.jpg"), labels=(Label("@SUM(1)", 0.75, 1),))
    form = FORMS["csv"]
    line = json.dumps({"index": 0, **form.record(evil, maps=False)})
    form.write(tmp_path / "a.csv", [line])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["path"], row["label"], row["score"]) == ("'=1.jpg", "'@SUM(1)", "0.75")


def test_parquet_has_width_and_height_of_their_own(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="of the extra scale")
    first, second = parquet.read_table(written(FORMS["parquet"], tmp_path)).to_pylist()
    assert (first["width"], first["height"]) == (64, 48)
    assert [label["name"] for label in first["labels"]] == ["red", "blue"]
    assert (first["error"], second["path"]) == (None, "photos/ü.jpg")


def test_what_is_not_installed_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMS["parquet"]
    monkeypatch.setattr(type(form), "needs", "no_such_package")
    with pytest.raises(LookcloserError, match="--format parquet needs no_such_package"):
        form.check()
    for name in ("jsonl", "csv"):
        FORMS[name].check()
