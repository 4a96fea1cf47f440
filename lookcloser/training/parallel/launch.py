"""Starting the other processes of a training, or joining those that torchrun has started.

The processes are started as programs of their own, with what they need on their standard input: so
nothing of the user's own script runs twice, and it works in a notebook too.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from torch import distributed
from torch.distributed import HashStore, Store, TCPStore  # type: ignore[attr-defined]  # documented, not listed

from lookcloser.core.errors import LookcloserError
from lookcloser.data.catalog import Catalog
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes

HOST = "127.0.0.1"
_POLL = 0.05  # seconds between two looks at the processes
# How gloo reports that the other end is gone; an error of its own it has not.
_LOST = re.compile("connection (closed|reset|refused)|broken pipe", re.IGNORECASE)
_LAST_WORDS = 20.0  # seconds in which a process that broke off has ended


@dataclass(frozen=True)
class Job:
    """What one of the other processes is to do: the arguments of `fit`, and its place.

    Attributes:
        catalog: The data.
        options: How to train.
        folder: The run, which the first process writes.
        resume: Whether to continue from its checkpoint.
        rank: The number of the process, from 1.
        port: Where the first process waits for it.
    """

    catalog: Catalog
    options: TrainOptions
    folder: Path
    resume: bool
    rank: int
    port: int


@contextmanager
def outer_group() -> Iterator[None]:
    """Join the processes that torchrun started; without it nothing happens."""
    if processes.is_joined() or not processes.given_from_outside():
        yield
        return
    with _one_sentence_of_loss(), _joined():
        yield


@contextmanager
def own_group(
    catalog: Catalog, options: TrainOptions, folder: Path, *, resume: bool
) -> Iterator[None]:
    """Start the other processes of ``options.devices``, which `fit` the same; this is the first.

    They end with the block. Nothing happens for one device, and in a process that is in a group.
    On a CPU they talk by gloo, on GPUs by NCCL.

    Raises:
        LookcloserError: For more devices than GPUs, where there are GPUs, and where another process
            broke off.
    """
    count = options.devices
    if processes.is_joined():
        with _one_sentence_of_loss():
            yield
        return
    if count == 1 and options.strategy != "fsdp":
        yield
        return
    if count == 1:  # sharding needs a group, be it of one
        with _joined(HashStore(), 0, 1):
            yield
        return
    if torch.cuda.is_available() and count > torch.cuda.device_count():
        raise LookcloserError(
            f"--devices {count}: this machine has {torch.cuda.device_count()} GPUs",
            fix="Ask for at most that many; over several machines start it with torchrun",
        )
    store = TCPStore(HOST, 0, count, is_master=True, wait_for_workers=False)
    others = [
        _start(Job(catalog, options, folder, resume, number, store.port))
        for number in range(1, count)
    ]
    try:
        _wait_until_ready(store, others)
        with _joined(store, 0, count):
            yield
        for other in others:
            other.wait()
        _check_alive(others)
    except RuntimeError:  # a lost connection is noticed before the process behind it has ended
        deadline = time.monotonic() + _LAST_WORDS
        while time.monotonic() < deadline:
            _check_alive(others)
            time.sleep(_POLL)
        raise
    finally:
        for other in others:
            other.kill()
            other.wait()
            assert other.stdin is not None  # as it was started
            with suppress(BrokenPipeError):
                other.stdin.close()


@contextmanager
def member(job: Job) -> Iterator[None]:
    """Be one of the processes that `own_group` started."""
    count = job.options.devices
    store = TCPStore(HOST, job.port, count, is_master=False)
    store.set(_ready(job.rank), "")
    with _joined(store, job.rank, count):
        yield


class Joined(ClusterEnvironment):
    """The group as it is, for Lightning, which is to start no processes of its own."""

    @property
    def creates_processes_externally(self) -> bool:
        """They are there."""
        return True

    @property
    def main_address(self) -> str:
        """Not asked for once a group exists."""
        return HOST

    @property
    def main_port(self) -> int:
        """Not asked for once a group exists."""
        return 0

    @staticmethod
    def detect() -> bool:
        """Whether there is a group."""
        return processes.is_joined()

    def world_size(self) -> int:
        """All processes."""
        return processes.world_size()

    def set_world_size(self, size: int) -> None:
        """It is what it is."""

    def global_rank(self) -> int:
        """Of this process."""
        return processes.rank()

    def set_global_rank(self, rank: int) -> None:
        """It is what it is."""

    def local_rank(self) -> int:
        """On this machine."""
        return processes.local_rank()

    def node_rank(self) -> int:
        """The number of this machine."""
        return processes.rank() // processes.local_world_size()


@contextmanager
def _one_sentence_of_loss() -> Iterator[None]:
    """Say it in a sentence where another process of the group is gone.

    Raises:
        LookcloserError: In place of what the connection to it raised.
    """
    try:
        yield
    except RuntimeError as error:
        is_lost = isinstance(error, distributed.DistError) or _LOST.search(str(error))
        if isinstance(error, LookcloserError) or not is_lost:
            raise
        raise LookcloserError(
            "another process of this training has ended, so this one ends too",
            fix="Its own messages say why; `lookcloser train --resume RUN`, "
            "with as many processes or fewer, goes on from the last checkpoint",
        ) from error


@contextmanager
def _joined(store: Store | None = None, rank: int = -1, count: int = -1) -> Iterator[None]:
    """In a group, by ``store`` or else by what torchrun left in the environment."""
    gpus = torch.cuda.is_available()
    # Small messages between the processes must not wait for the GPUs.
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    threads = torch.get_num_threads()
    if gpus:
        torch.cuda.set_device(processes.local_rank())
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, threads // processes.local_world_size()))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        distributed.destroy_process_group()


def _start(job: Job) -> subprocess.Popen[bytes]:
    # The same packages as here, wherever they were found, and no others: "" stands for the current
    # folder, which may be one of data, and so would "-m" without "-P". A session of its own: Ctrl-C
    # is for the first process, which tells the others.
    own = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, own]))}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lookcloser.training.parallel.worker"],
        stdin=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert process.stdin is not None  # a pipe, as asked for
    with suppress(BrokenPipeError):  # one that has died already is found out later
        process.stdin.write(pickle.dumps(job))
        process.stdin.flush()  # and open: the process ends when it closes, so when this one dies
    return process


def _ready(rank: int) -> str:
    return f"ready {rank}"


def _wait_until_ready(store: TCPStore, others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until every process has loaded its libraries; one that died meanwhile would never answer."""
    store.set_timeout(timedelta(minutes=30))
    names = [_ready(number) for number in range(1, len(others) + 1)]
    while not store.check(names):
        _check_alive(others)
        time.sleep(_POLL)


def _check_alive(others: Sequence[subprocess.Popen[bytes]]) -> None:
    for number, other in enumerate(others, start=1):
        if other.poll():
            raise LookcloserError(
                f"process {number} of {len(others) + 1} ended early (exit code {other.returncode})",
                fix="Its own message stands above; with --devices 1 there is only one process",
            )
