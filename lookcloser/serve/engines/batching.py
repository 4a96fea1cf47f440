"""One thread for each model, which runs what came together as one batch; another makes answers."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from lookcloser.core.types import Prediction
from lookcloser.runtime import Engine, Loaded, Promise
from lookcloser.runtime.outputs import ArrayOutput
from lookcloser.runtime.stream import asked, told
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.limits import Limits
from lookcloser.serve.metrics import Metrics

_log = logging.getLogger("lookcloser.serve")
_SMOOTHING = 0.2  # of the seconds that an image takes
_UNREAD = Loaded(None)
NO_ANSWER = "the model cannot answer this image, though it answers others"


@dataclass(eq=False)
class Job:
    """One image on its way.

    Attributes:
        engine: Made it ready, and answers it, even if the model is replaced in between.
        top: How many labels.
        promise: See `lookcloser.runtime.Promise`.
        loaded: The image, once it is decoded.
        future: Its answer.
    """

    engine: Engine
    top: int
    promise: Promise | None = None
    loaded: Loaded = _UNREAD
    future: Future[Prediction] = field(default_factory=Future)

    @property
    def kind(self) -> tuple[int, int, Promise | None]:
        """What jobs of one forward pass have in common."""
        return id(self.engine), self.top, self.promise


class Batcher:
    """Collects decoded images and runs them, some at a time.

    A batch begins as soon as an image is there. It waits for more only while images are being
    decoded, and never longer than ``limits.wait``.

    Args:
        name: Of the model.
        limits: Of the queue and the batches.
        metrics: Told what is done.
    """

    def __init__(self, name: str, limits: Limits, metrics: Metrics) -> None:
        self._limits = limits
        self._admitted = 0  # decoding, waiting or running
        self._coming = 0  # of these, decoding
        self._waiting: deque[Job] = deque()
        self._closed = False
        self._seconds = 0.05  # of an image
        self._change = threading.Condition()
        self._sizes = metrics.batches.labels(name)
        self._load = metrics.waiting.labels(name)
        self._done = {
            outcome: metrics.images.labels(name, outcome)
            for outcome in ("answered", "unreadable", "failed", "dropped")
        }
        self._teller = ThreadPoolExecutor(1, thread_name_prefix=f"answers {name}")
        self._thread = threading.Thread(target=self._work, name=f"model {name}", daemon=True)
        self._thread.start()

    def admit(self, count: int, *, decoding: bool = True) -> None:
        """Make room for ``count`` images; each is then handed to `put` or `leave`.

        Args:
            count: How many.
            decoding: Whether batches wait for them; others are worked on elsewhere.

        Raises:
            Problem: 429 where the queue is full, 503 where the server is about to end.
        """
        with self._change:
            if self._closed:
                raise Problem(503, "The server is shutting down.", {"Retry-After": "5"})
            if self._admitted + count > self._limits.queue:
                seconds = max(1, math.ceil(self._admitted * self._seconds))
                raise Problem(
                    429,
                    f"{self._admitted} images are waiting; try again in {seconds} s.",
                    {"Retry-After": str(seconds)},
                )
            self._admitted += count
            self._coming += count if decoding else 0
            self._load.set(self._admitted)

    def put(self, job: Job) -> None:
        """An image that is decoded."""
        with self._change:
            self._coming -= 1
            self._waiting.append(job)
            self._change.notify()

    def leave(self, outcome: str, *, decoding: bool = True) -> None:
        """An image that will not come: it is "unreadable", "dropped", or done elsewhere."""
        if decoding:
            with self._change:
                self._coming -= 1
                self._change.notify()
        self._finish(outcome)

    def close(self) -> None:
        """Answer what was admitted, then end."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        self._teller.shutdown()

    def _finish(self, outcome: str) -> None:
        self._done[outcome].inc()
        with self._change:
            self._admitted -= 1
            self._load.set(self._admitted)

    def _work(self) -> None:
        while batch := self._next():
            kinds: dict[object, list[Job]] = {}
            for job in batch:
                if job.future.set_running_or_notify_cancel():
                    kinds.setdefault(job.kind, []).append(job)
                else:
                    self._finish("dropped")
            for jobs in kinds.values():
                self._sizes.observe(len(jobs))
                started = time.monotonic()
                self._run(jobs)
                each = (time.monotonic() - started) / len(jobs)
                self._seconds += _SMOOTHING * (each - self._seconds)

    def _next(self) -> list[Job]:
        """The jobs of the next batch; none once all is done."""
        with self._change:
            while not self._waiting:
                if self._closed and not self._coming:
                    return []
                self._change.wait()
            until = time.monotonic() + self._limits.wait
            while self._coming and len(self._waiting) < self._limits.batch:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._change.wait(left)
            several = min(self._limits.batch, len(self._waiting))
            return [self._waiting.popleft() for _ in range(several)]

    def _run(self, jobs: Sequence[Job]) -> None:
        first = jobs[0]
        try:
            output = asked(first.engine, [job.loaded for job in jobs], first.top)
        except Exception:  # whatever a network runs into; the server goes on
            self._one_by_one(jobs, self._run)
            return
        # Beside the next batch: a network's time is what all wait for.
        self._teller.submit(self._tell, jobs, output)

    def _tell(self, jobs: Sequence[Job], output: ArrayOutput) -> None:
        first = jobs[0]
        try:
            loaded = [job.loaded for job in jobs]
            answers = list(told(first.engine, output, loaded, first.top, first.promise))
        except Exception:  # of an output that means nothing
            rows = iter(range(len(jobs)))
            self._one_by_one(jobs, lambda own: self._tell(own, _row(output, next(rows))))
            return
        for job, answer in zip(jobs, answers, strict=True):
            self._finish("answered")
            job.future.set_result(replace(answer, image=job.loaded.image))

    def _one_by_one(self, jobs: Sequence[Job], again: Callable[[Sequence[Job]], None]) -> None:
        """What failed for several, again for each; the end of what failed for one alone."""
        if len(jobs) > 1:
            for job in jobs:
                again([job])
            return
        (job,) = jobs
        _log.exception("an image could not be answered")
        self._finish("failed")
        if _is_well(job.engine):
            task, size = job.engine.header.task, job.loaded.size
            job.future.set_result(Prediction(task, (), (), size, error=NO_ANSWER))
        else:
            job.future.set_exception(
                Problem(500, "The model fails for every image; the server's log says why.")
            )


def _row(output: ArrayOutput, row: int) -> ArrayOutput:
    """What is said of one image."""
    own = [None if values is None else values[row : row + 1] for values in output]
    return ArrayOutput._make(own)


def _is_well(engine: Engine) -> bool:
    """Whether a network still answers an even image: then it was the image's fault."""
    try:
        engine.answer(np.full((1, 3, *engine.header.preprocessing.size), 127, np.uint8), 1)
    except Exception:
        return False
    return True
