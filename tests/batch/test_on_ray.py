"""The same parts on Ray: what an actor does, and how errors of a cluster are said.

A whole run with actors that are killed is in benchmarks/batch_kills.py: starting Ray takes longer
than all tests of this folder.
"""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lookcloser.batch import on_ray, predict_source
from lookcloser.batch.folder import Folder
from lookcloser.batch.sources import Item, Part, parts
from lookcloser.core import LookcloserError

from .conftest import COUNT

pyarrow = pytest.importorskip("pyarrow", reason="Ray Data moves its tables")


class FakeData:
    """Ray Data as far as it is used here, in this process: rows in, blocks of rows to an actor."""

    def __init__(self):
        self.called = {}
        self.context = SimpleNamespace(execution_options=SimpleNamespace())

    class ActorPoolStrategy:
        def __init__(self, size):
            self.size = size

    def from_items(self, items, override_num_blocks):
        assert override_num_blocks == len(items), "a part is a block: none waits for another"
        self.items = items
        return self

    def map_batches(self, actor, *, fn_constructor_args, batch_size, compute, **resources):
        self.called |= {"size": compute.size, **resources}
        answerer = actor(*fn_constructor_args)
        batches = [self.items[n : n + batch_size] for n in range(0, len(self.items), batch_size)]
        self.blocks = [pyarrow.table(answerer(_columns(batch))) for batch in batches]
        return self

    def iter_batches(self, *, batch_size, batch_format, prefetch_batches):
        self.called["ahead"] = prefetch_batches
        assert (batch_size, batch_format) == (None, "pyarrow"), "a block as it is"
        return iter(self.blocks)


def _columns(batch):
    return {"part": np.array([row["part"] for row in batch], dtype=object)}


class FakeRay:
    class exceptions:  # noqa: N801 - as Ray calls it
        class RayError(Exception):
            pass

    def __init__(self, cores=4, gpus=0, fails=None):
        self.resources, self.fails = {"CPU": cores, **({"GPU": gpus} if gpus else {})}, fails
        self.started, self.ended = [], 0

    def is_initialized(self):
        return False

    def init(self, address, **options):
        self.environment = {name: value for name, value in os.environ.items() if "RAY" in name}
        if self.fails:
            raise self.fails
        self.started.append((address, options))

    def cluster_resources(self):
        return self.resources

    def shutdown(self):
        self.ended += 1


@pytest.fixture
def cluster(monkeypatch):
    def make(**given):
        ray, data = FakeRay(**given), FakeData()
        monkeypatch.setattr(on_ray, "needed", lambda name, *_: data if name == "ray.data" else ray)
        return ray, data

    return make


def test_parts_are_answered_as_on_this_machine(photos, job, cluster):
    ray, data = cluster()
    seen = []
    result = predict_source(
        job(), [str(photos)], engine="ray", part_images=70,
        progress=lambda *given: seen.append(given),
    )  # fmt: skip
    assert (result.images, result.failed, result.complete) == (COUNT, 1, True)
    assert seen[-1] == (COUNT, COUNT)
    assert (data.called["size"], data.called["num_gpus"], data.called["num_cpus"]) == (4, 0, 1)
    assert ray.started[0][0] == "local"
    assert ray.ended == 1
    plain = predict_source(job(out="plain"), [str(photos)], part_images=70)
    for file in sorted(plain.out.glob("part-*")):
        assert (result.out / file.name).read_bytes() == file.read_bytes(), file.name


def test_what_is_done_is_not_given_to_ray(photos, job, cluster):
    class StoppedError(Exception):
        pass

    def stops(done, _total):
        if done > 100:
            raise StoppedError

    with pytest.raises(StoppedError):
        predict_source(job(), [str(photos)], part_images=70, progress=stops)
    _, data = cluster()
    result = predict_source(job(), [str(photos)], engine="ray", part_images=70)
    assert len(data.items) == 4
    assert result.resumed == 70
    rows = [
        json.loads(line)["index"]
        for file in result.out.glob("part-*")
        for line in file.read_text().splitlines()
    ]
    assert Counter(rows) == Counter(range(COUNT))
    ray, _ = cluster()
    predict_source(job(), [str(photos)], engine="ray", part_images=70)
    assert ray.started == [], "nothing to do: no cluster is started"


def test_an_actor_finds_what_is_named_relative_to_the_driver(photos, job, monkeypatch, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    monkeypatch.chdir(there)  # where Ray starts its actors
    Image.new("RGB", (8, 8)).save(here / "a.png")
    one = replace(job(), out=Path("out"))
    (here / "out" / ".work").mkdir(parents=True)
    actor = on_ray.PartAnswerer(one.to_json(), str(here))
    part = Part(0, (Item(0, Path("a.png")),))
    assert actor({"part": [part.to_json()]}) == {"number": [0], "images": [1], "failed": [0]}
    with pytest.raises(LookcloserError, match="nowhere: this folder is not on the machine"):
        on_ray.PartAnswerer(one.to_json(), str(tmp_path / "nowhere"))


def test_a_part_is_told_of_when_it_is_there(photos, job, cluster):
    _, data = cluster()
    predict_source(job(), [str(photos)], engine="ray", part_images=70)
    assert data.called["ahead"] == 0


def test_settings_are_those_of_our_rows_alone(photos, job, cluster):
    _, data = cluster()
    predict_source(job(), [str(photos)], engine="ray", part_images=70)
    assert vars(data.context.execution_options) == {"preserve_order": False}
    assert not data.context.enable_progress_bars
    assert not data.context.op_resource_reservation_enabled, "of a part come three numbers"


def test_what_a_spread_makes_does_not_fill_the_store(job, cluster):
    class Made:
        def __init__(self, *_given):
            pass

        def __call__(self, batch):
            return {"made": [b"0\0" for _ in batch["part"]]}

    _, data = cluster()
    rows = list(on_ray.acted(Made, job(), [{"part": "a"}] * 3, 2, None, in_order=True))
    assert rows == [{"made": b"0\0"}] * 3, "bytes stay what they are"
    assert data.context.op_resource_reservation_enabled
    assert data.context.execution_options.preserve_order


@pytest.mark.parametrize(("address", "unwatched"), [(None, True), ("auto", False)])
def test_only_a_ray_of_our_own_goes_unwatched(
    photos, job, cluster, monkeypatch, address, unwatched
):
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "debug")  # the user's own
    before = dict(os.environ)
    ray, _ = cluster()
    predict_source(job(), [str(photos)], engine="ray", ray_address=address, part_images=70)
    assert ("RAY_enable_metrics_collection" in ray.environment) == unwatched
    assert ("RAY_task_events_report_interval_ms" in ray.environment) == unwatched
    assert ray.environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert ray.environment["RAY_BACKEND_LOG_LEVEL"] == "debug"
    assert dict(os.environ) == before, "a Ray that the user starts later is the user's"


def test_nothing_is_told_to_the_makers_of_ray_on_the_way(photos, job, cluster):
    cluster()
    seen = []
    predict_source(
        job(), [str(photos)], engine="ray", part_images=70,
        progress=lambda *_: seen.append(os.environ.get("RAY_USAGE_STATS_ENABLED")),
    )  # fmt: skip
    assert seen[1:-1] == ["0"] * (len(seen) - 2)
    assert len(seen) > 3


def test_gpus_of_a_cluster_are_taken_one_each(photos, job, cluster, monkeypatch):
    _, data = cluster(cores=64, gpus=3)
    told = []
    real = on_ray.PartAnswerer.__init__

    def notes(self, text, folder):
        told.append(json.loads(text))
        real(self, text.replace('"cuda"', "null"), folder)

    monkeypatch.setattr(on_ray.PartAnswerer, "__init__", notes)
    predict_source(job(), [str(photos)], engine="ray", ray_address="auto", part_images=70)
    assert (data.called["size"], data.called["num_gpus"]) == (3, 1)
    assert told[0]["device"] == "cuda"


def test_no_cluster_is_one_sentence(photos, job, cluster):
    cluster(fails=ConnectionError("Could not find any running Ray instance.\nmore"))
    with pytest.raises(LookcloserError, match="auto: no cluster of Ray answers .*ray start --head"):
        predict_source(job(), [str(photos)], engine="ray", ray_address="auto")


def test_errors_of_actors_are_said_in_their_words():
    own = LookcloserError("a.jpg: no room", fix="Free some")
    error = FakeRay.exceptions.RayError("traceback\n...")
    error.cause = own
    assert str(on_ray._said(error)) == "a.jpg: no room. Free some."
    assert "Ray gave up: node died" in str(on_ray._said(RuntimeError("x\nnode died")))


def test_a_part_that_ends_every_actor_is_named(photos, job):
    one = job()
    (one.out / ".work").mkdir(parents=True)
    part = next(parts([str(photos)], 20))
    folder = Folder(one.out, one.writer)
    actor = on_ray.PartAnswerer(one.to_json(), os.getcwd())
    for _ in range(5):
        with folder.journal(part):
            pass  # died before the first answer
    with pytest.raises(LookcloserError, match="[Pp]art 0 ended its actor 5 times"):
        actor({"part": [part.to_json()]})


def test_csv_is_not_for_ray(photos, job, cluster):
    cluster()
    with pytest.raises(LookcloserError, match="csv: not with --engine ray.*parquet or jsonl"):
        predict_source(job("csv"), [str(photos)], engine="ray")
