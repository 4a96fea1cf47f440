"""Parts answered in this process, or in several of this machine."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lookcloser.batch.answering import Tell, answer_part
from lookcloser.batch.folder import Finished
from lookcloser.batch.job import Job
from lookcloser.batch.sources import Part
from lookcloser.core.errors import LookcloserError
from lookcloser.runtime import Answerer
from lookcloser.runtime.onnx_file import is_onnx

ATTEMPTS = 3


def in_this_process(
    job: Job, answerer: Answerer, todo: Iterator[Part], tell: Tell
) -> Iterator[Finished]:
    """Answer the parts one after the other."""
    for part in todo:
        yield answer_part(job, answerer, part, tell)


def in_processes(job: Job, count: int, todo: Iterator[Part], tell: Tell) -> Iterator[Finished]:
    """Answer the parts in ``count`` processes, each with a network of its own.

    A process that dies is replaced, and its part is gone on with.

    Raises:
        LookcloserError: What a process could not do, and where three in a row died of a part.
    """
    # A line for what is done, how much of it, and what went wrong, from the thread of each process.
    news: queue.SimpleQueue[Finished | int | BaseException | None] = queue.SimpleQueue()
    lock, stop = threading.Lock(), threading.Event()

    def following() -> Part | None:
        with lock:
            return None if stop.is_set() else next(todo, None)

    members = [_Member(own, following, news, stop) for own in _shared(job, count)]
    for member in members:
        member.thread.start()
    left = len(members)
    try:
        while left:
            new = news.get()
            if new is None:
                left -= 1
            elif isinstance(new, Finished):
                yield new
            elif isinstance(new, int):
                tell(new)
            else:
                raise new
    finally:
        stop.set()
        for member in members:
            member.end()
        for member in members:
            member.thread.join()


def _shared(job: Job, count: int) -> list[Job]:
    """The job of each process: its share of the cores, and a GPU of its own."""
    cores = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    threads = job.threads or max(1, (cores or 1) // count)
    gpus = _gpus(job)
    if not gpus:
        return [job.on(job.device, threads)] * count
    return [job.on(f"cuda:{number % gpus}", threads) for number in range(count)]


def _gpus(job: Job) -> int:
    """How many GPUs the processes have to share; 0 where one was named, or none is used."""
    if is_onnx(job.run) or job.device not in {None, "cuda"}:
        return 0
    import torch

    return torch.cuda.device_count()


class _Member:
    """A process, and the thread that talks to it.

    Args:
        job: What the process is told.
        following: Gives the next part, or None.
        news: Where all that happens goes; None at the end.
        stop: Set when the others are to end.
    """

    def __init__(self, job: Job, following: Any, news: Any, stop: threading.Event) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._job, self._following, self._news, self._stop = job, following, news, stop
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def _run(self) -> None:
        """Hand out parts until there are no more."""
        try:
            while (part := self._following()) is not None:
                self._news.put(self._answered(part))
        except BaseException as error:
            if not self._stop.is_set():
                self._news.put(error)
        finally:
            self.end()
            self._news.put(None)

    def end(self) -> None:
        """End the process, whatever it does; its part is gone on with another time."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]  # pipes, as asked for

    def _answered(self, part: Part) -> Finished:
        told = vain = 0
        while vain < ATTEMPTS:
            before, process = told, self._started()
            for kind, *values in _ask(process, part):
                if kind == "done":
                    return Finished(*values)
                if kind == "failed":
                    raise LookcloserError(str(values[0]))
                # One that goes on where another died counts anew what it finds.
                new, told = max(0, values[0] - told), max(told, values[0])
                self._news.put(new)
            code = process.wait()
            self.end()
            vain = vain + 1 if told == before else 0
        first, last = part.items[0], part.items[-1]
        raise LookcloserError(
            f"part {part.number} (images {first.index:,} to {last.index:,}) ended its process "
            f"{vain} times in a row without an answer (exit code {code})",
            fix=f"One image from {first.source} to {last.source} is more than the program or the "
            "memory can take; leave it out, or use fewer --processes. The same command goes on",
        )

    def _started(self) -> subprocess.Popen[str]:
        """The process, started where there is none."""
        with self._lock:
            if self._process is None and not self._stop.is_set():
                self._process = _start(self._job)
            if self._process is None:
                raise LookcloserError("ended")  # by `stop`; nobody hears it
            return self._process


def _start(job: Job) -> subprocess.Popen[str]:
    # As in training/launch.py: the same packages and no others, and Ctrl-C is for this process.
    own = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, own]))}
    if job.threads:
        environment["OMP_NUM_THREADS"] = str(job.threads)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lookcloser.batch.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        text=True,
        encoding="utf-8",
    )
    assert process.stdin is not None  # a pipe, as asked for
    with suppress(BrokenPipeError):  # found out when it is asked
        process.stdin.write(f"{job.to_json()}\n")
        process.stdin.flush()
    return process


def _ask(process: subprocess.Popen[str], part: Part) -> Iterator[list[Any]]:
    """What a process says of a part, until it is done or dead."""
    from lookcloser.batch.worker import read_words

    assert process.stdin is not None  # as above
    assert process.stdout is not None
    try:
        process.stdin.write(f"{part.to_json()}\n")
        process.stdin.flush()
    except (BrokenPipeError, ValueError):
        return
    for line in process.stdout:
        words = read_words(line)
        if words is not None:
            yield words
