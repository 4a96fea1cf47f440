"""Several processes: one that dies is replaced, one that always dies is named, errors are said."""

import io
import json
import os
import signal
from collections import Counter
from dataclasses import replace

import pytest

from lookcloser.batch import predict_source, processes
from lookcloser.batch.sources import Part, parts
from lookcloser.batch.worker import read_words, serve
from lookcloser.core import LookcloserError

from .conftest import COUNT


def indices(out):
    files = out.glob("part-*.jsonl")
    return Counter(
        json.loads(line)["index"] for file in files for line in file.read_text().splitlines()
    )


def test_processes_that_die_are_replaced_and_nothing_is_lost(photos, job, monkeypatch):
    started, killed, real = [], [], processes._start

    def start(own):
        started.append(real(own))
        return started[-1]

    def kills(done, _total):
        if done > 40 * (len(killed) + 1) and len(killed) < 3:
            victim = started[-1 - len(killed) % 2]
            killed.append(victim.pid)
            victim.kill()

    monkeypatch.setattr(processes, "_start", start)
    result = predict_source(job(), [str(photos)], part_images=40, processes=2, progress=kills)
    assert len(killed) == 3
    assert len(started) > 2
    assert indices(result.out) == Counter(range(COUNT))
    assert (result.failed, result.complete) == (1, True)
    assert all(process.poll() is not None for process in started), "none is left behind"


def test_a_part_that_ends_every_process_is_named(photos, job, monkeypatch):
    real = processes._start

    def dies(own):
        process = real(own)
        process.kill()
        return process

    monkeypatch.setattr(processes, "_start", dies)
    with pytest.raises(LookcloserError, match=r"[Pp]art [01] \(images .*\) ended its process 3"):
        predict_source(job(), [str(photos)], part_images=40, processes=2)


def test_what_a_process_cannot_do_is_said_in_its_words(photos, job, monkeypatch):
    real = processes._start
    monkeypatch.setattr(processes, "_start", lambda own: real(replace(own, run="gone.onnx")))
    with pytest.raises(LookcloserError, match="gone.onnx: no such model file"):
        predict_source(job(), [str(photos)], part_images=40, processes=2)


def test_the_protocol(photos, job):
    one = job()
    (one.out / ".work").mkdir(parents=True)
    part = next(parts([str(photos)], 20))
    assert Part.from_json(part.to_json()) == part
    told = io.StringIO()
    serve(io.StringIO(f"{one.to_json()}\n{part.to_json()}\n"), told)
    words = [read_words(line) for line in told.getvalue().splitlines()]
    assert words == [["images", n] for n in (0, 8, 16, 20)] + [["done", 0, 20, 0]]
    assert indices(one.out) == Counter(range(20))
    assert read_words('["done", 1') is None
    assert read_words("{}") is None


def test_each_process_gets_its_share_of_the_machine(job, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    assert [(own.device, own.threads) for own in processes._shared(job(), 3)] == [(None, 2)] * 3
    monkeypatch.setattr(processes, "_gpus", lambda _job: 2)
    devices = [own.device for own in processes._shared(job(), 3)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]


def test_a_process_ends_when_its_input_does(job):
    process = processes._start(job())
    try:
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
