"""Parts answered on Ray Data: this machine, or a cluster.

Ray moves the lists of the parts, and starts again what dies; images and answers go between the
disks that all machines see and the actors that answer.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lookcloser.batch.answering import answer_part
from lookcloser.batch.folder import Finished, Folder
from lookcloser.batch.job import Job
from lookcloser.batch.sources import Part
from lookcloser.core.errors import LookcloserError
from lookcloser.core.extras import needed

_STORE = 256 << 20  # bytes of Ray's store: lists of paths go through it, no images
_ATTEMPTS = 5
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would tell its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its C++ reports what it recovers from
}
# Of a Ray that ends with us nobody reads these, and they cost processor time all along.
_UNWATCHED = {"RAY_enable_metrics_collection": "0", "RAY_task_events_report_interval_ms": "0"}


class Actor:
    """A network, loaded once, where Ray starts it.

    Args:
        job: A line of `Job.to_json`.
        folder: The current one of the driver, which relative paths begin from.

    Raises:
        LookcloserError: As `lookcloser.load`, and where this machine does not have the folder.
    """

    def __init__(self, job: str, folder: str) -> None:
        try:
            os.chdir(folder)
        except OSError as error:
            raise LookcloserError(
                f"{folder}: this folder is not on the machine of an actor",
                fix="Run in a folder that all machines share, as they do the images and --out",
            ) from error
        self.job = Job.from_json(job)
        self.answerer = self.job.answerer()


class PartAnswerer(Actor):
    """An actor that answers the parts it is given."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Answer and write the parts of a batch of Ray.

        Raises:
            LookcloserError: For a part that has ended its actor again and again; Ray has no end.
        """
        done = [self._answered(Part.from_json(str(text))) for text in batch["part"]]
        return {name: [getattr(one, name) for one in done] for name in Finished._fields}

    def _answered(self, part: Part) -> Finished:
        vain = Folder(self.job.out, self.job.writer).vain(part)
        if vain >= _ATTEMPTS:
            first, last = part.items[0].source, part.items[-1].source
            raise LookcloserError(
                f"part {part.number} ended its actor {vain} times without an answer",
                fix=f"One image from {first} to {last} is more than the program or the memory can "
                "take; leave it out, or use fewer --processes",
            )
        return answer_part(self.job, self.answerer, part)


def check_ray(form: str) -> None:
    """Raise a `LookcloserError` where Ray Data is not installed, or does not write this form."""
    needed("ray.data", "--engine ray")
    if form == "csv":
        raise LookcloserError("csv: not with --engine ray", allowed="parquet or jsonl")


def on_ray(
    job: Job, count: int | None, address: str | None, todo: Iterator[Part]
) -> Iterator[Finished]:
    """Answer the parts in ``count`` actors; None takes one for each core, or GPU, of the cluster.

    Raises:
        LookcloserError: Where there is no such cluster, and what an actor could not do.
    """
    parts = [{"part": part.to_json()} for part in todo]
    for row in acted(PartAnswerer, job, parts, count, address):
        yield Finished(*(int(row[name]) for name in Finished._fields))


def acted(
    actor: Any,
    job: Job,
    rows: list[dict[str, Any]],
    count: int | None,
    address: str | None,
    *,
    in_order: bool = False,
) -> Iterator[dict[str, Any]]:
    """What actors make of rows; one row is given to an actor at a time.

    Args:
        actor: A class like `PartAnswerer`.
        job: What each actor is told; its device and threads are chosen here.
        rows: Of values that Ray can hold.
        count: How many actors; None: see `on_ray`.
        address: Of a cluster that is there; None starts one on this machine.
        in_order: Whether what is made comes in the order of the rows, else as soon as it is there.

    Raises:
        LookcloserError: As `on_ray`.
    """
    if not rows:
        return
    ray, data = needed("ray", "--engine ray"), needed("ray.data", "--engine ray")
    with _connected(ray, address, count):
        resources = ray.cluster_resources()
        on_gpus = resources.get("GPU", 0) >= 1 and job.device in {None, "cuda"}
        most = int(resources.get("GPU" if on_gpus else "CPU", 1))
        own = job.on("cuda" if on_gpus else job.device, 0 if on_gpus else 1)
        given = data.from_items(rows, override_num_blocks=len(rows))
        given.context.enable_progress_bars = False
        given.context.execution_options.preserve_order = in_order
        # Budgets keep results from filling the store: those of parts are three numbers.
        given.context.op_resource_reservation_enabled = in_order
        done = given.map_batches(
            actor,
            fn_constructor_args=(own.to_json(), os.getcwd()),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=max(1, min(count or most, len(rows)))),
            num_gpus=1 if on_gpus else 0,
            num_cpus=1,
        )
        # With one ahead, as usual, each block would be told of when the next one is there.
        blocks = done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        try:
            for block in blocks:
                yield from block.to_pylist()
        except ray.exceptions.RayError as error:
            raise _said(error) from error


@contextmanager
def _connected(ray: Any, address: str | None, count: int | None) -> Iterator[None]:
    """In a cluster: one that is there, or one of this machine alone, which ends with the block."""
    if ray.is_initialized():
        yield
        return
    own = {} if address else {"num_cpus": count, "object_store_memory": _STORE}
    with _environment(_QUIET if address else _QUIET | _UNWATCHED):
        try:
            ray.init(
                address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **own,
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            first = str(error).strip().partition("\n")[0]
            raise LookcloserError(
                f"{address or 'Ray'}: no cluster of Ray answers ({first})",
                fix="Start one with `ray start --head`, and give its address, e.g. auto or "
                "HOST:6379",
            ) from error
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """In these variables, but for those that the user has set."""
    own = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)


def _said(error: Exception) -> LookcloserError:
    """What an actor ran into, in its own words where it has some."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LookcloserError):
            return LookcloserError(cause.what, allowed=cause.allowed, fix=cause.fix)
        cause = getattr(cause, "cause", None) or cause.__cause__
    last = str(error).strip().rpartition("\n")[2]
    return LookcloserError(
        f"Ray gave up: {last}", fix="The same command goes on with what is not done"
    )
