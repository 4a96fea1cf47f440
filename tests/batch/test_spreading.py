"""Evaluation and annotation with the network elsewhere: the same scores and boxes as here."""

import sys

import pytest

from lookcloser.batch import RaySpread, spreading
from lookcloser.cli.terminal.batch import read_spread
from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, Sample, read_data
from lookcloser.models import save_model_file
from lookcloser.recognizer import load_run
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import make_options


@pytest.fixture(scope="module")
def run(squares, tmp_path_factory):
    """A network with random weights, in a file."""
    options = make_options(backbone="test_resnet", weights="none", stride=8, size=32, method="cam")
    model, header = prepare_model(options, read_data(squares))
    return save_model_file(
        tmp_path_factory.mktemp("run") / "a.safetensors", model.state_dict(), header
    )


@pytest.fixture
def ray(monkeypatch):
    """Ray in this process: what is sent and what comes back is bytes all the same."""
    calls = []

    def acted(actor, job, rows, count, address, *, in_order):
        assert in_order
        calls.append((job.run, len(rows), count, address))
        here = actor(job.to_json(), ".")
        for row in rows:
            (made,) = here({"piece": [row["piece"]]})["made"]
            yield {"made": made}

    monkeypatch.setattr(spreading, "acted", acted)
    monkeypatch.setattr(spreading, "needed", lambda *_: None)
    return calls


def test_an_evaluation_is_the_same(squares, run, ray):
    recognizer, seen = load_run(run), []
    here = recognizer.evaluation(squares, "test", batch_size=4)
    there = recognizer.evaluation(
        squares, "test", batch_size=4, spread=RaySpread(str(run), items=7),
        progress=lambda *given: seen.append(given),
    )  # fmt: skip
    assert there.to_dict() == here.to_dict()
    assert ray == [(str(run), 2, None, None), (str(run), 3, None, None)], "val with boxes, test"
    assert seen[-1] == (18, 18)
    assert [answer.prediction.path for answer in there.answers] == [
        answer.prediction.path for answer in here.answers
    ]


def test_broken_images_are_listed_and_a_split_of_them_is_an_error(squares, run, ray, tmp_path):
    catalog = read_data(squares)
    (tmp_path / "broken.png").write_bytes(b"no image")
    broken = Sample("broken.png", tmp_path / "broken.png", ("red",), split="test")

    def with_samples(samples):
        return Catalog(catalog.root, catalog.layout, catalog.task, catalog.names, tuple(samples))

    test = [broken, *catalog.split("test")]
    spread = RaySpread(str(run), items=1)
    found = load_run(run).evaluation(
        with_samples(test), "test", spread=spread, threshold_from="none"
    )
    assert [name for name, _ in found.skipped] == ["broken.png"]
    assert len(found.images.correct) == 18
    with pytest.raises(LookcloserError, match="None of the 1 images could be read"):
        load_run(run).evaluation(with_samples([broken]), "test", spread=spread)


def test_boxes_are_the_same(squares, run, ray, tmp_path):
    recognizer = load_run(run)
    here = recognizer.annotate(squares, tmp_path / "here", split="test")
    spread = RaySpread(str(run), actors=3, address="auto", items=5)
    there = recognizer.annotate(squares, tmp_path / "there", split="test", spread=spread)
    assert there.records == here.records
    assert ray == [(str(run), 4, 3, "auto")]
    again = recognizer.annotate(squares, tmp_path / "there", split="test", spread=spread)
    assert again.resumed == 18
    assert len(ray) == 1 or ray[-1][1] == 0, "nothing is left to do"


def test_the_command_line_takes_an_engine(run, monkeypatch):
    assert read_spread(str(run), None, None, None, None) is None
    assert read_spread(str(run), "plain", None, None, "cpu") is None
    with pytest.raises(LookcloserError, match="--processes 2: needs --engine ray"):
        read_spread(str(run), None, 2, None, None)
    with pytest.raises(LookcloserError, match="unknown engine"):
        read_spread(str(run), "dask", None, None, None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(LookcloserError, match=r"--engine ray needs ray.*lookcloser\[scale\]"):
        read_spread(str(run), "ray", None, None, None)
