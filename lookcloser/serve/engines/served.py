"""A model that is served: the version that answers now, and how it is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.types import Prediction, Region
from lookcloser.recognizer import load
from lookcloser.runtime import Answerer, Engine, Promise
from lookcloser.runtime.stream import unread
from lookcloser.serve.engines.batching import Batcher, Job
from lookcloser.serve.engines.sources import Source
from lookcloser.serve.http.problems import Problem
from lookcloser.serve.images import Upload, decoded, unreadable
from lookcloser.serve.limits import Limits
from lookcloser.serve.metrics import Metrics
from lookcloser.uncertainty import candidate_sets

_log = logging.getLogger("lookcloser.serve")

Signature = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Version:
    """One file's network.

    Attributes:
        recognizer: Opened from it.
        engine: Its one engine; batches share what it remembers.
        fingerprint: Of its weights.
        signature: What tells the file from one that replaces it; None of no file.
    """

    recognizer: Answerer
    engine: Engine
    fingerprint: str
    signature: Signature | None

    @property
    def header(self) -> ModelHeader:
        """What belongs to the network."""
        return self.engine.header


def signature_of(file: Path | None) -> Signature | None:
    """Time, size and number of a file; None where it is not there."""
    try:
        status = None if file is None else file.stat()
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)


def open_version(source: Source, device: str | None = None) -> Version:
    """Load a model and ask it once, so that what cannot answer is not put to use.

    Raises:
        LookcloserError: As `lookcloser.load`.
    """
    signature = signature_of(source.file)
    recognizer = load(source.path) if source.exported else load(source.path, device=device)
    engine = recognizer.engine
    engine.answer(np.zeros((1, 3, *engine.header.preprocessing.size), np.uint8), 1)
    return Version(recognizer, engine, engine.fingerprint(), signature)


class Served:
    """A model under its name.

    Args:
        source: Where it comes from.
        limits: See there.
        metrics: See there.
        decoders: Threads that decode images, shared by all models.
        device: For torch.

    Attributes:
        version: That answers now; replaced as a whole.
        stale: Whether the file was replaced by one that cannot be loaded.

    Raises:
        LookcloserError: For a model that cannot be loaded.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        metrics: Metrics,
        decoders: ThreadPoolExecutor,
        device: str | None = None,
    ) -> None:
        self.source = source
        self.version = open_version(source, device)
        self.stale = False
        self._device = device
        self._limits = limits
        self._metrics = metrics
        self._decoders = decoders
        # Views take all cores, and long: one image at a time, and no decoder waits for it.
        self._viewer = ThreadPoolExecutor(1, thread_name_prefix=f"views {source.name}")
        self._refused: Signature | None = None
        self._seen = self.version.signature
        self._batcher = Batcher(source.name, limits, metrics)

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.source.name

    async def answer(
        self, uploads: Sequence[Upload], top: int, promise: Promise | None = None
    ) -> list[Prediction]:
        """The predictions of some images, in order; one that cannot be read has ``error`` set.

        Raises:
            Problem: 422 for a promise that the model cannot make, 429 where the queue is full, 503
                where the server is about to end, 504 where it takes too long.
        """
        version = self.version
        _check_promise(version, promise)
        self._batcher.admit(len(uploads))
        jobs = [Job(version.engine, top, promise) for _ in uploads]
        for upload, job in zip(uploads, jobs, strict=True):
            self._decoders.submit(self._prepare, upload, job)
        answers = await self._within([job.future for job in jobs])
        return [_named(answer, upload) for answer, upload in zip(answers, uploads, strict=True)]

    async def explain(
        self, upload: Upload, views: Sequence[str] | None, target: str | None
    ) -> dict[str, Region]:
        """One image in several views.

        Raises:
            Problem: As `answer`; also 422 for a model without views, an image that cannot be read,
                an unknown view or class.
        """
        recognizer = self.version.recognizer
        if not hasattr(recognizer, "explain"):
            raise Problem(
                422, f"{self.name}: runs from its exported file, which has no views to show."
            )
        self._batcher.admit(1, decoding=False)
        looked = self._viewer.submit(self._look, recognizer, upload, views, target)
        looked.add_done_callback(self._let_go)
        found: list[dict[str, Region]] = await self._within([looked])
        return found[0]

    def look_for_replacement(self) -> None:
        """Load the file where it was replaced and is whole; called now and then.

        A file counts as whole once it is the same twice in a row. One that cannot be loaded is
        not tried again, and the version before it stays.
        """
        now = signature_of(self.source.file)
        settled, self._seen = now == self._seen, now
        if now == self.version.signature:
            self._mark(stale=False)
            return
        if now is None or not settled or now == self._refused:
            return
        try:
            self.version = open_version(self.source, self._device)
        except Exception as error:  # of whatever kind: the server goes on with what it has
            self._refused = now
            self._mark(stale=True)
            self._metrics.reloads.labels(self.name, "refused").inc()
            _log.error("%s: its file was replaced and cannot be loaded: %s", self.name, error)
            return
        self._mark(stale=False)
        self._metrics.reloads.labels(self.name, "loaded").inc()
        _log.warning("%s: its file was replaced and is in use", self.name)

    def close(self) -> None:
        """Answer what was admitted, then end."""
        self._batcher.close()
        self._viewer.shutdown()

    def _mark(self, *, stale: bool) -> None:
        self.stale = stale
        self._metrics.stale.labels(self.name).set(stale)

    async def _within(self, futures: Sequence[Future[Any]]) -> list[Any]:
        """What they give, in time; otherwise none of them goes on."""
        waiting = [asyncio.wrap_future(future) for future in futures]
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await asyncio.gather(*waiting)
        except TimeoutError as error:
            raise Problem(
                504, f"No answer within {self._limits.seconds:g} s; send fewer images at a time."
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _let_go(self, looked: Future[dict[str, Region]]) -> None:
        if looked.cancelled():  # before it began
            self._batcher.leave("dropped", decoding=False)

    def _prepare(self, upload: Upload, job: Job) -> None:
        """Decode an image and hand it on; its future gets whatever goes wrong."""
        if job.future.cancelled():
            self._batcher.leave("dropped")
            return
        try:
            job.loaded = decoded(upload, job.engine.header.preprocessing, self._limits.pixels)
        except BaseException as error:
            self._batcher.leave("failed")
            _fulfil(job.future, error)
            return
        if job.loaded.error is None:
            self._batcher.put(job)
            return
        self._batcher.leave("unreadable")
        _fulfil(job.future, unread(job.engine.header.task, job.loaded))

    def _look(
        self, recognizer: Any, upload: Upload, views: Sequence[str] | None, target: str | None
    ) -> dict[str, Region]:
        outcome = "failed"
        try:
            image = upload.opened(self._limits.pixels)
            found: dict[str, Region] = recognizer.explain(image, views, target=target)
            outcome = "answered"
            return found
        except LookcloserError as error:
            outcome = "unreadable"
            raise unreadable(str(error), error.kind) from error
        finally:
            self._batcher.leave(outcome, decoding=False)


def _fulfil(future: Future[Prediction], result: Prediction | BaseException) -> None:
    """Set the result of a future, unless nobody waits for it any more."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, Prediction):
        future.set_result(result)
    else:
        future.set_exception(result)


def _named(answer: Prediction, upload: Upload) -> Prediction:
    return answer if upload.name is None else replace(answer, path=Path(upload.name))


def _check_promise(version: Version, promise: Promise | None) -> None:
    """Raise a `Problem` for a promise that the model cannot make, before there is any work."""
    if promise is None:
        return
    header = version.header
    if header.task != "classification":
        raise Problem(422, f"coverage: this model answers {header.task}, not one class.")
    even = np.full((1, len(header.names)), 1 / len(header.names), np.float32)
    try:
        candidate_sets(header.calibration, even, promise.coverage, promise.sets)
    except LookcloserError as error:
        raise Problem(422, str(error)) from error
