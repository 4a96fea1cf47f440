"""predict --out: any number of images, into files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.interrupts import going_on_later
from lookcloser.cli.terminal.runs import FAILED, SKIPPED
from lookcloser.core.errors import UsageError, unknown
from lookcloser.core.wording import count, duration

if TYPE_CHECKING:
    from lookcloser.batch import Job, RaySpread
    from lookcloser.batch.predicting import Share

EVERY = 30.0  # seconds between two lines where there is no terminal


def answer_all(
    job: Job,
    sources: Sequence[str],
    *,
    engine: str | None,
    processes: int | None,
    ray_address: str | None,
    shard: str | None,
    part_images: int | None,
    dry_run: bool,
) -> None:
    """Answer a source into a folder, and say how it went.

    Raises:
        Exit: With 3 where images could not be read.
        LookcloserError: As `lookcloser.batch.predict_source`.
    """
    from lookcloser.batch import predict_source
    from lookcloser.batch.predicting import PART_IMAGES, check_source

    share = read_share(shard or "1/1")
    where: dict[str, Any] = {
        "engine": engine or "plain",
        "processes": processes,
        "ray_address": ray_address,
        "share": share,
        "part_images": part_images or PART_IMAGES,
    }
    if dry_run:
        total = check_source(job, sources, **where)
        printing.say_plan(f"answer {count(total, 'image')}", [job.out])
        return
    with going_on_later(), progress("Answering") as told:
        result = predict_source(job, sources, **where, progress=told)
    before = f", {result.resumed:,} of them before" if result.resumed else ""
    printing.say(f"{count(result.images, 'image')} answered{before}")
    if result.failed:
        printing.say(f"{result.failed:,} of {count(result.images, 'image')} could not be read")
    if not result.complete:
        printing.say(f"Share {share.number} of {share.of} is done; others are not yet")
    printing.print_path(result.out)
    printing.next_step("predict", job.run, "IMAGE", "--save", "evidence/")
    if result.failed:
        raise typer.Exit(SKIPPED if result.failed < result.images else FAILED)


def read_spread(
    run: str, engine: str | None, processes: int | None, ray_address: str | None, device: str | None
) -> RaySpread | None:
    """Where `evaluate` and `annotate` run the network; None is here.

    Raises:
        UsageError: For an unknown engine, and what belongs to Ray without it.
        LookcloserError: Where Ray Data is not installed.
    """
    from lookcloser.batch import RaySpread
    from lookcloser.batch.predicting import ENGINES

    if engine not in {None, *ENGINES}:
        raise unknown(str(engine), "engine", ENGINES)
    if engine == "ray":
        return RaySpread(run, device, processes, ray_address)
    for option, value in (("--processes", processes), ("--ray-address", ray_address)):
        if value is not None:
            raise UsageError(f"{option} {value}: needs --engine ray")
    return None


def refuse(what: str, options: Mapping[str, object]) -> None:
    """Options that do not go with what was asked for are wrong usage, not left out in silence."""
    for option, value in options.items():
        if value not in {None, False}:
            raise UsageError(f"{option}: does not go with {what}")


def read_share(text: str) -> Share:
    """The second of four, of "2/4".

    Raises:
        UsageError: For anything else.
    """
    from lookcloser.batch.predicting import Share

    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if match is None:
        raise UsageError(f"--shard {text}: not a share", allowed="1/4 to 4/4 for four processes")
    return Share(int(match[1]), int(match[2]))


@contextmanager
def progress(
    title: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """How far it is, how fast, and how long still: a bar on a terminal, else a line now and then.

    The speed is that of this run: what was done before was not done by it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console, start, first = Console(stderr=True), clock(), -1
    last = start

    def words(done: int, total: int) -> str:
        speed = (done - first) / max(clock() - start, 1e-9)
        left = f", {duration((total - done) / speed)} left" if speed > 0 else ""
        return f"{speed:,.1f} images/s{left}"

    if console.is_terminal:
        speed = TextColumn("{task.fields[speed]}")
        columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), speed)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=None, speed="")

            def show(done: int, total: int) -> None:
                nonlocal first
                first = done if first < 0 else first
                bar.update(task, completed=done, total=total, speed=words(done, total))

            yield show
        return

    def tell(done: int, total: int) -> None:
        nonlocal first, last
        first = done if first < 0 else first
        if done > first and clock() - last >= EVERY:
            last = clock()
            printing.say(f"{done:,} of {count(total, 'image')}, {words(done, total)}")

    yield tell
