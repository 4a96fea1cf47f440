"""Batches: together what comes together, alone what breaks, bounded what waits."""

import threading

import numpy as np
import pytest

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.runtime import ArrayOutput, Loaded, Promise
from lookcloser.serve.engines import batching
from lookcloser.serve.engines.batching import NO_ANSWER, Batcher, Job
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.limits import Limits
from lookcloser.serve.metrics import Metrics

HEADER = ModelHeader("none", {}, "classification", ("dark", "light"), Preprocessing((4, 4)))


class Gated:
    """An engine that answers once it is told to, and fails for black images."""

    header = HEADER

    def __init__(self):
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.batches = []

    def answer(self, pixels, top):
        self.begun.set()
        assert self.gate.wait(10)
        self.batches.append((len(pixels), top))
        mean = pixels.mean(axis=(1, 2, 3)).astype(np.float32)
        if (mean == 0).any():
            raise RuntimeError("too dark")
        return ArrayOutput(np.stack([127 - mean, mean - 127], axis=1))


@pytest.fixture
def engine():
    return Gated()


@pytest.fixture
def batcher(engine):
    metrics = Metrics()
    made = Batcher("m", Limits(images=4, queue=8, batch=4), metrics)
    made.metrics = metrics
    yield made
    engine.gate.set()
    made.close()


def job(engine, value=200, top=2):
    return Job(engine, top, loaded=Loaded(np.full((3, 4, 4), value, np.uint8), (4, 4)))


def put(batcher, *jobs):
    batcher.admit(len(jobs))
    for one in jobs:
        batcher.put(one)
    return jobs


def hold(batcher, engine):
    """A first image keeps the thread busy, so that what follows comes together."""
    (first,) = put(batcher, job(engine))
    assert engine.begun.wait(10)
    return first


def test_what_comes_together_is_one_batch_up_to_the_largest(batcher, engine):
    hold(batcher, engine)
    jobs = put(batcher, *(job(engine) for _ in range(6)))
    engine.gate.set()
    assert [one.future.result(10).labels[0].name for one in jobs] == ["light"] * 6
    assert engine.batches == [(1, 2), (4, 2), (2, 2)]


def test_requests_that_differ_are_asked_apart(batcher, engine):
    hold(batcher, engine)
    jobs = put(batcher, job(engine, top=1), job(engine, top=2), job(engine, top=1))
    engine.gate.set()
    assert [len(one.future.result(10).labels) for one in jobs] == [1, 2, 1]
    assert sorted(engine.batches[1:]) == [(1, 2), (2, 1)]


def test_the_version_that_made_an_image_ready_answers_it(batcher, engine):
    hold(batcher, engine)
    other = Gated()
    other.gate.set()
    old, new = put(batcher, job(engine), job(other))
    engine.gate.set()
    assert old.future.result(10).labels
    assert new.future.result(10).labels
    assert other.batches == [(1, 2)]


def test_an_image_that_breaks_the_network_fails_alone(batcher, engine):
    hold(batcher, engine)
    good, bad, fine = put(batcher, job(engine), job(engine, value=0), job(engine))
    engine.gate.set()
    assert good.future.result(10).labels[0].name == "light"
    assert fine.future.result(10).labels[0].name == "light"
    answer = bad.future.result(10)
    assert answer.error == NO_ANSWER
    assert answer.labels == ()
    assert answer.size == (4, 4)
    text = batcher.metrics.text().decode()
    assert 'lookcloser_images_total{model="m",outcome="failed"} 1.0' in text


def test_an_output_of_which_no_answer_can_be_made_fails_alone(batcher, engine, monkeypatch):
    real = batching.told

    def told(engine, output, read, *rest):
        if any(item.pixels.max() == 7 for item in read):
            raise ValueError("no such output")
        return real(engine, output, read, *rest)

    monkeypatch.setattr(batching, "told", told)
    hold(batcher, engine)
    dark, odd, light = put(batcher, *(job(engine, value=value) for value in (50, 7, 200)))
    engine.gate.set()
    assert dark.future.result(10).labels[0].name == "dark"
    assert odd.future.result(10).error == NO_ANSWER
    assert light.future.result(10).labels[0].name == "light"
    assert engine.batches[1] == (3, 2), "the network is asked once"


def test_a_network_that_breaks_for_every_image_is_the_servers_fault(batcher, engine, monkeypatch):
    hold(batcher, engine)
    (one,) = put(batcher, job(engine))

    def fails(pixels, top):
        raise MemoryError

    monkeypatch.setattr(engine, "answer", fails)
    engine.gate.set()
    with pytest.raises(Problem, match="fails for every image") as told:
        one.future.result(10)
    assert told.value.status_code == 500


def test_a_full_queue_turns_away_and_says_for_how_long(batcher, engine):
    hold(batcher, engine)
    put(batcher, *(job(engine) for _ in range(7)))
    with pytest.raises(Problem) as refused:
        batcher.admit(1)
    assert refused.value.status_code == 429
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_dropped_images_are_not_asked_and_free_their_place(batcher, engine):
    hold(batcher, engine)
    dropped, kept = put(batcher, job(engine), job(engine))
    dropped.future.cancel()
    batcher.admit(5)
    for _ in range(5):
        batcher.leave("unreadable")
    engine.gate.set()
    assert kept.future.result(10).labels
    assert engine.batches == [(1, 2), (1, 2)]
    batcher.close()
    text = batcher.metrics.text().decode()
    assert 'lookcloser_images_total{model="m",outcome="dropped"} 1.0' in text
    assert 'lookcloser_images_total{model="m",outcome="unreadable"} 5.0' in text
    assert 'lookcloser_waiting_images{model="m"} 0.0' in text


def test_closing_answers_what_was_admitted_and_takes_no_more(batcher, engine):
    first = hold(batcher, engine)
    jobs = put(batcher, *(job(engine) for _ in range(3)))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    engine.gate.set()
    closing.join(10)
    assert all(one.future.result(0).labels for one in (first, *jobs))
    with pytest.raises(Problem) as refused:
        batcher.admit(1)
    assert refused.value.status_code == 503


def batcher_of(**limits):
    return Batcher("m", Limits(**{"images": 4, "queue": 8, "batch": 4, **limits}), Metrics())


def test_a_batch_waits_for_images_that_are_being_decoded_and_for_no_others(engine):
    made = batcher_of(wait=30.0)
    engine.gate.set()
    made.admit(3)
    made.admit(1, decoding=False)  # a view: nobody waits for it
    first, second = job(engine), job(engine)
    made.put(first)
    made.put(second)
    assert not first.future.done()
    made.leave("unreadable")  # the third does not come
    assert second.future.result(10).labels
    assert engine.batches == [(2, 2)]
    made.leave("answered", decoding=False)
    made.close()


def test_a_full_batch_waits_for_nothing(engine):
    made = batcher_of(wait=30.0, batch=2)
    engine.gate.set()
    made.admit(3)
    jobs = [job(engine) for _ in range(2)]
    for one in jobs:
        made.put(one)
    assert [len(one.future.result(10).labels) for one in jobs] == [2, 2]
    made.leave("dropped")
    made.close()


def test_a_batch_waits_no_longer_than_it_may(engine):
    made = batcher_of(wait=0.001)
    engine.gate.set()
    made.admit(2)
    first = job(engine)
    made.put(first)
    assert first.future.result(10).labels, "though another is still being decoded"
    made.leave("unreadable")
    made.close()


def test_closing_waits_for_images_that_are_being_decoded(engine):
    made = batcher_of()
    engine.gate.set()
    made.admit(1)
    closing = threading.Thread(target=made.close)
    closing.start()
    late = job(engine)
    made.put(late)
    closing.join(10)
    assert not closing.is_alive()
    assert late.future.result(0).labels


def test_the_wait_that_is_named_grows_with_the_queue_and_the_seconds_of_an_image(engine):
    made = batcher_of(queue=4)
    made.admit(4, decoding=False)
    made._seconds = 2.4
    with pytest.raises(Problem, match="4 images are waiting; try again in 10 s") as refused:
        made.admit(1)
    assert refused.value.headers == {"Retry-After": "10"}
    for _ in range(4):
        made.leave("dropped", decoding=False)
    made.admit(4, decoding=False)  # all places are free again
    for _ in range(4):
        made.leave("dropped", decoding=False)
    made.close()


def test_different_promises_are_different_batches(engine):
    first, second = job(engine), job(engine)
    assert first.kind == second.kind
    second.promise = Promise(0.9)
    assert first.kind != second.kind
    assert Job(engine, 3).kind != Job(engine, 2).kind
    assert Job(Gated(), 2).kind != Job(engine, 2).kind
