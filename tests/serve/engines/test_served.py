"""A model that is served: what it promises, what it refuses, and what becomes of who gives up."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Prediction
from lookcloser.runtime import Promise
from lookcloser.serve.engines import served as serving
from lookcloser.serve.engines.served import Served, open_version, signature_of
from lookcloser.serve.engines.sources import Source, read_sources
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.images import Upload
from lookcloser.serve.limits import Limits
from lookcloser.serve.metrics import Metrics


@pytest.fixture
def start(files):
    """A served model, without a server before it."""
    started = []

    def make(path=files.onnx, **limits):
        with_defaults = Limits(**{"images": 1, **limits})
        pool = ThreadPoolExecutor(1)
        made = Served(read_sources([str(path)])[0], with_defaults, Metrics(), pool)
        started.append((made, pool))
        return made

    yield make
    for made, pool in started:
        made.close()
        pool.shutdown()


OUTCOMES = ("answered", "unreadable", "failed", "dropped")


def counted(served, what, **labels):
    value = served._metrics.registry.get_sample_value(
        f"lookcloser_{what}", {"model": served.name, **labels}
    )
    return int(value or 0)


def outcomes(served):
    return {name: counted(served, "images_total", outcome=name) for name in OUTCOMES}


def refused(coroutine):
    with pytest.raises(Problem) as told:
        asyncio.run(coroutine)
    return told.value.status_code, told.value.detail


def test_a_file_is_told_from_one_that_replaces_it(tmp_path):
    file, other = tmp_path / "a", tmp_path / "b"
    for path in (file, other):
        path.write_bytes(b"same")
        os.utime(path, ns=(10**9, 10**9))
    before = signature_of(file)
    assert before == signature_of(file)
    os.replace(other, file)
    assert signature_of(file) != before, "the same size and time, another file"
    file.write_bytes(b"longer")
    assert signature_of(file)[1] == 6
    assert signature_of(tmp_path / "nothing") is None
    assert signature_of(None) is None


def test_a_model_that_cannot_answer_is_not_put_to_use(files, tmp_path):
    version = open_version(Source("a", str(files.onnx), files.onnx))
    assert version.signature == signature_of(files.onnx)
    assert version.fingerprint == version.engine.fingerprint()
    assert version.header.task == "classification"
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(files.onnx.read_bytes()[:-5000])
    with pytest.raises(LookcloserError, match="cut.onnx"):
        open_version(Source("a", str(cut), cut))


def test_answers_come_in_order_with_the_names_of_their_images(start, drawing):
    served = start(images=3, batch=2)
    uploads = [
        Upload(drawing.file(1), "b"), Upload(b"broken"), Upload(drawing.file(2, (30, 90)), "a"),
    ]  # fmt: skip
    first, second, third = asyncio.run(served.answer(uploads, 2))
    assert [str(one.path) for one in (first, second, third)] == ["b", "None", "a"]
    assert (first.size, second.size, third.size) == ((60, 40), (0, 0), (30, 90))
    assert len(first.labels) == 2
    assert second.error.startswith("image: not an image")
    alone = asyncio.run(served.answer(uploads[2:], 2))
    assert alone[0].labels == third.labels
    assert outcomes(served) == {"answered": 3, "unreadable": 1, "failed": 0, "dropped": 0}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("onnx", "it was not calibrated"),
        ("tags", "this model answers multilabel, not one class"),
        ("words", "this model answers captioning, not one class"),
    ],
)
def test_a_promise_that_cannot_be_made_is_refused_before_any_work(
    start, files, drawing, kind, said
):
    served = start(getattr(files, kind), queue=1)
    for _ in range(2):  # no place of the queue is taken
        asked = served.answer([Upload(drawing.file())], 1, Promise(0.9, "lac"))
        status, detail = refused(asked)
        assert status == 422
        assert said in detail
    assert sum(outcomes(served).values()) == 0


def test_more_images_than_the_queue_takes(start, drawing):
    served = start(queue=2)
    status, detail = refused(served.answer([Upload(drawing.file())] * 3, 1))
    assert (status, detail) == (429, "0 images are waiting; try again in 1 s.")
    assert len(asyncio.run(served.answer([Upload(drawing.file())] * 2, 1))) == 2


def test_a_fault_of_a_decoder_is_the_servers_and_takes_no_place(start, drawing, monkeypatch):
    served = start(queue=1)
    with monkeypatch.context() as patch:
        patch.setattr(serving, "decoded", lambda *_given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(served.answer([Upload(drawing.file())], 1))
    assert outcomes(served)["failed"] == 1
    assert asyncio.run(served.answer([Upload(drawing.file())], 1))[0].labels


def test_who_gives_up_takes_the_images_that_were_not_begun_along(start, drawing, monkeypatch):
    served = start(images=3, seconds=0.1)
    entered, go = threading.Event(), threading.Event()
    real = serving.decoded

    def slow(*given):
        entered.set()
        assert go.wait(20)
        return real(*given)

    monkeypatch.setattr(serving, "decoded", slow)
    status, detail = refused(served.answer([Upload(drawing.file())] * 3, 1))
    assert (status, detail) == (504, "No answer within 0.1 s; send fewer images at a time.")
    assert entered.is_set()
    go.set()
    served.close()
    assert outcomes(served) == {"answered": 0, "unreadable": 0, "failed": 0, "dropped": 3}
    assert counted(served, "waiting_images") == 0


def test_views_are_refused_with_the_reason(start, files, drawing):
    status, detail = refused(start().explain(Upload(drawing.file()), None, None))
    assert (status, detail) == (
        422, "insects: runs from its exported file, which has no views to show.",
    )  # fmt: skip
    served = start(files.cam, queue=1, pixels=60 * 40)
    for upload, views, expected, said in (
        (Upload(b"x", "a.png"), None, 422, "a.png: not an image"),
        (Upload(drawing.file(size=(61, 40)), "b.png"), None, 413, "b.png: size 61×40 is too large"),
        (Upload(drawing.file()), ["nothing"], 422, "nothing: unknown view"),
    ):
        status, detail = refused(served.explain(upload, views, None))
        assert status == expected, detail
        assert said in detail
    seen = asyncio.run(served.explain(Upload(drawing.file()), ["cam"], "ant"))
    assert seen["cam"].label == "ant"
    assert outcomes(served) == {"answered": 1, "unreadable": 3, "failed": 0, "dropped": 0}


def test_views_wait_in_the_queue_of_the_model_and_leave_it(start, files, drawing, monkeypatch):
    served = start(files.cam, queue=2, seconds=0.1)
    entered, go = threading.Event(), threading.Event()

    def slow(*_given, **_named):
        entered.set()
        assert go.wait(20)
        raise RuntimeError("broken")

    monkeypatch.setattr(served.version.recognizer, "explain", slow, raising=False)

    async def ask():
        views = [served.explain(Upload(drawing.file()), None, None) for _ in range(3)]
        return await asyncio.gather(*views, return_exceptions=True)

    found = asyncio.run(ask())
    assert sorted(problem.status_code for problem in found) == [429, 504, 504]
    assert entered.is_set()
    go.set()
    served.close()
    assert outcomes(served) == {"answered": 0, "unreadable": 0, "failed": 1, "dropped": 1}
    assert counted(served, "waiting_images") == 0


def test_a_model_without_a_file_is_never_replaced(start):
    served = start()
    served.source = Source("insects", served.source.path, None)
    served.version = version = open_version(served.source)
    for _ in range(3):
        served.look_for_replacement()
    assert served.version is version
    assert not served.stale
    assert counted(served, "reloads_total", outcome="loaded") == 0


def test_an_answer_without_a_name_keeps_none():
    answer = Prediction("classification", (), (), (1, 1))
    assert serving._named(answer, Upload(b"")) is answer
    assert str(serving._named(answer, Upload(b"", "a")).path) == "a"
