"""How long it will take: estimated from what is done, and said where it is worth the words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from lookcloser.core.wording import count, duration
from lookcloser.training.parallel import processes

MEASURED = 10.0  # seconds from which an estimate is made
WORTH_SAYING = 60.0  # seconds that are left

_console: ContextVar[Console | None] = ContextVar("console", default=None)


class Pace:
    """The time that each of many takes, without the first ones: those compile and fill caches."""

    def __init__(self) -> None:
        self._since: tuple[int, float] | None = None

    def seconds_each(self, done: int) -> float | None:
        """Seconds for one, as of now; None until enough of them were timed.

        Args:
            done: How many are done. The first call says when the clock starts.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = done, now
        first, start = self._since
        return (now - start) / (done - first) if done > first and now - start >= MEASURED else None


@contextmanager
def shown_on(console: Console) -> Iterator[None]:
    """Where `looking` says how far it is; nothing is said outside of this."""
    before = _console.set(console)
    try:
        yield
    finally:
        _console.reset(before)


@contextmanager
def looking(total: int) -> Iterator[Callable[[int], None]]:
    """Tell how far a look at all images is: a bar on a terminal, else one line if it takes long.

    Args:
        total: How many images there are.

    Yields:
        What is to be told how many images are done.
    """
    console = _console.get()
    if console is None or console.quiet or processes.rank() > 0:
        yield lambda _done: None
    elif console.is_terminal:
        columns = BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn(compact=True)
        title = TextColumn("{task.description}")
        with Progress(title, *columns, console=console, transient=True, expand=True) as bar:
            task = bar.add_task("looking at the images", total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield _one_line(console, total)


def _one_line(console: Console, total: int) -> Callable[[int], None]:
    pace, said = Pace(), False

    def tell(done: int) -> None:
        nonlocal said
        each = None if said else pace.seconds_each(done)
        if each is None:
            return
        said, left = True, each * (total - done)
        if left >= WORTH_SAYING:
            console.print(
                f"Looking at {count(total, 'image')}, about {duration(left)} left", highlight=False
            )

    return tell
