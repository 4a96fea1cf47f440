"""What a training says while it works: a line for each epoch, and a bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from lookcloser.core.wording import count, duration
from lookcloser.training.callbacks.run_files import ResumedOrder, RunWriter
from lookcloser.training.callbacks.stopping import STOPPING, STOPPING_SHORT, GracefulStop, Patience
from lookcloser.training.pace import WORTH_SAYING, Pace
from lookcloser.training.tasks.module import TrainingModule

_PAUSE = 0.1  # seconds between two looks at the loss, for which a GPU has to be waited for


class Display(Callback):
    """Progress on stderr; lines stay when the bar goes.

    Args:
        console: Where to; a quiet one says nothing, and one that is no terminal has no bar.
        writer: Has the scores of the epochs; it has to come before this in the list of callbacks.
        order: Knows where a resumed training stands.
        stop: Knows whether the training is to stop.
        score_title: The score that chooses the best epoch, in words.

    Attributes:
        started: Whether there was anything to train.
    """

    def __init__(
        self,
        console: Console,
        writer: RunWriter,
        order: ResumedOrder,
        stop: GracefulStop,
        score_title: str,
    ) -> None:
        self.console, self.writer, self.order, self.stop = console, writer, order, stop
        self.score_title = score_title
        self._bar: Progress | None = None
        self._looked = 0.0
        self._pace = Pace()
        self._estimated = False
        self.started = False

    def on_train_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Say where a resumed training goes on, and show the bar."""
        self.started = True
        epoch, batch = self.order.next
        if epoch or batch:
            inside = f", batch {batch + 1} of {trainer.num_training_batches}" if batch else ""
            self._say(f"Resumed in epoch {epoch + 1} of {trainer.max_epochs}{inside}")
        if self.console.is_terminal and not self.console.quiet:
            self._bar = Progress(
                _Title(self.stop),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[loss]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._bar.add_task("", total=None, loss="")
            self._begin(self._epoch(trainer), float(trainer.num_training_batches), batch)
            self._bar.start()
            self.stop.is_shown = True

    def on_train_epoch_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """An empty bar."""
        self._begin(self._epoch(trainer), float(trainer.num_training_batches))

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, _out: Any, _batch: Any, index: int
    ) -> None:
        """A step further."""
        self._advance(trainer, module, index)
        self._measure(trainer, index)

    def on_validation_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Another bar, as validation is not part of the epoch's batches."""
        batches = sum(trainer.num_val_batches)
        self._begin(f"{self._epoch(trainer)}, validating", float(batches))

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        _outputs: Any,
        _batch: Any,
        index: int,
        _loader: int = 0,
    ) -> None:
        """A step further."""
        self._advance(trainer, module, index)

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """The row that `RunWriter` has just written, as a line."""
        row = self.writer.history[-1]
        parts = epoch_words(row, int(trainer.max_epochs or 0), self.writer.score, self.score_title)
        width = self.console.width if self.console.is_terminal else 1_000
        while len(parts) > 1 and len("  ".join(parts)) > width:
            parts.pop()
        self._say("  ".join(parts))
        self._estimate(trainer, row["seconds"], int(trainer.max_epochs or 0) - int(row["epoch"]))

    def on_train_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """No bar; say where training stopped early, and why."""
        self._end()
        patience = _patience(trainer)
        if patience and patience.stopped_epoch and self.writer.best is not None:
            best = max(self.writer.history, key=self._rank)
            self._say(
                f"Stopped early: no better {self.score_title} in "
                f"{count(patience.patience, 'epoch')}; the best was epoch {int(best['epoch'])}"
            )

    def on_exception(self, *_: Any) -> None:
        """No bar, whatever ends the training."""
        self._end()

    def teardown(self, *_: Any, **__: Any) -> None:
        """As above, where nothing else ended it."""
        self._end()

    def _rank(self, row: Mapping[str, float]) -> tuple[float, float]:
        return row.get(self.writer.score, float("-inf")), -row.get("val_loss", float("inf"))

    def _epoch(self, trainer: pl.Trainer) -> str:
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"

    def _begin(self, title: str, total: float, done: int = 0) -> None:
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.reset(task, total=total, completed=done, description=title, loss="")

    def _advance(self, trainer: pl.Trainer, module: pl.LightningModule, index: int) -> None:
        if self._bar is None:
            return
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=index + 1)
        now = time.monotonic()
        if now - self._looked >= _PAUSE and not trainer.validating:
            assert isinstance(module, TrainingModule)  # as `fit` makes it
            loss, self._looked = module.means.latest("loss"), now
            self._bar.update(task, loss="" if loss is None else f"loss {loss:.3f}")

    def _measure(self, trainer: pl.Trainer, index: int) -> None:
        """Estimate the time once some batches have been timed."""
        seconds = None if self._estimated else self._pace.seconds_each(index + 1)
        if seconds is not None:
            batches = float(trainer.num_training_batches)
            epochs = int(trainer.max_epochs or 0) - trainer.current_epoch
            self._estimate(trainer, seconds * batches, epochs - (index + 1) / batches)

    def _estimate(self, trainer: pl.Trainer, seconds: float, epochs: float) -> None:
        """Say once how long training takes, from the seconds of an epoch and the epochs left."""
        if not self._estimated and seconds * epochs >= WORTH_SAYING:
            most = "at most " if _patience(trainer) else ""
            self._say(
                f"About {duration(seconds)} per epoch, {most}{duration(seconds * epochs)} left"
            )
        self._estimated = True

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar, self.stop.is_shown = None, False
            if self.stop.asked:  # said in the bar until now, at once
                self._say(STOPPING)

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _patience(trainer: pl.Trainer) -> Patience | None:
    """What may stop this training early."""
    found = (one for one in trainer.callbacks if isinstance(one, Patience))  # type: ignore[attr-defined]  # Lightning's own list
    return next(found, None)


class _Title(ProgressColumn):
    """The title of a bar, until training is to stop: drawn by the bar's own thread, at once."""

    def __init__(self, stop: GracefulStop) -> None:
        super().__init__()
        self.stop = stop

    def render(self, task: Task) -> Text:
        """Called a few times a second."""
        return Text(STOPPING_SHORT if self.stop.asked else task.description)


def epoch_words(row: Mapping[str, float], epochs: int, score: str, title: str) -> list[str]:
    """A row of metrics.csv in words, the most important first."""
    parts = [f"epoch {int(row['epoch'])}/{epochs}"]
    parts += [f"loss {row['train_loss']:.3f}"] if "train_loss" in row else []
    if score in row:
        parts.append(f"val loss {row['val_loss']:.3f}, {title} {row[score]:.1%}")
    parts.append(f"{row['seconds']:.0f} s")
    parts.append(f"{row['images_per_second']:.0f} img/s")
    parts.append(f"waiting for data {row['data_wait']:.0%}")
    return parts
