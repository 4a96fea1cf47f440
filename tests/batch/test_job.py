"""What any process on any machine can be told: the same job in one line."""

from pathlib import Path

import numpy as np
import pytest

from lookcloser.batch import FORMATS, How, Job
from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.runtime import Promise


def test_a_job_is_the_same_on_the_other_side():
    how = How(3, 0.9, "aps", maps=True, box_rule="max", batch_size=7, workers=2)
    job = Job("caf\u00e9\udce9.onnx", Path("/o\nut"), "parquet", how, "cuda:1", 4)
    line = job.to_json()
    assert line.isascii()
    assert "\n" not in line
    assert Job.from_json(line) == job
    assert Job.from_json(Job("a", Path("b")).to_json()) == Job("a", Path("b"))


def test_the_home_of_a_folder_is_that_of_who_asked(monkeypatch, tmp_path, photos, network):
    monkeypatch.setenv("HOME", str(tmp_path))
    job = Job(str(network), Path("~/out"))
    assert job.out == tmp_path / "out"
    monkeypatch.setenv("HOME", "/elsewhere")
    assert Job.from_json(job.to_json()).out == tmp_path / "out"


def test_only_what_the_answers_depend_on_has_to_stay_the_same():
    how = How(batch_size=3, workers=9)
    assert how.answers == How().answers
    for changed in (How(top=1), How(coverage=0.9), How(sets="aps"), How(maps=True),
                    How(box_rule="max")):  # fmt: skip
        assert changed.answers != how.answers
    assert how.promise is None
    assert How(coverage=0.9, sets="aps").promise == Promise(0.9, "aps")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"form": "xml"}, f"xml: unknown format.*{', '.join(sorted(FORMATS))}"),
        ({"how": How(top=0)}, "top 0: not possible. Allowed: 1 or more"),
        ({"how": How(batch_size=-1)}, "batch_size -1: not possible"),
        ({"how": How(maps=True), "form": "csv"}, "maps: csv has no place for heatmaps"),
        ({"how": How(workers=-1)}, "workers -1: not possible. Allowed: 0 or more"),
    ],
)
def test_what_is_not_possible_is_said_at_once(given, said):
    with pytest.raises(UsageError, match=said):
        Job("run", Path("out"), **given)


def test_the_device_and_the_threads_are_those_of_each_process(job):
    one = job(top=2)
    other = one.on("cpu", 3)
    assert (other.device, other.threads) == ("cpu", 3)
    assert other.on(None, 0) == one
    assert other.answerer().predict(np.zeros((8, 8, 3), np.uint8), top=1)


def test_a_network_that_is_not_there_is_said(tmp_path):
    with pytest.raises(LookcloserError, match="no.onnx: no such"):
        Job(str(tmp_path / "no.onnx"), tmp_path).answerer()
