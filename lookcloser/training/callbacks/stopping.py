"""The ends of a training that is not at its end: Ctrl-C, being told to end, and early stopping."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping

from lookcloser.training.parallel import processes

STOPPING = "Stopping after this batch; press Ctrl-C again to stop at once."
STOPPING_SHORT = "Stopping; Ctrl-C again: at once"  # beside a bar of 80 columns


class TrainingInterruptedError(Exception):
    """Ctrl-C was pressed, or the process told to end, and the batch in hand is finished."""


class Patience(EarlyStopping):
    """Early stopping that a resumed run remembers: one that had stopped stays stopped.

    Unless it is resumed for more epochs; then the count starts over.

    Args:
        score: The logged value that has to rise.
        epochs: Stop after so many without a higher one.
    """

    def __init__(self, score: str, epochs: int) -> None:
        # It counts when validation ends: at the end of the epoch Lightning runs early stopping
        # after all other callbacks, and the checkpoint would hold the count of the epoch before.
        super().__init__(score, mode="max", patience=epochs, check_on_train_epoch_end=False)
        self._extended = False

    def on_load_checkpoint(
        self, trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """See whether there are more epochs now."""
        self._extended = checkpoint.get("epochs", trainer.max_epochs) != trainer.max_epochs

    def on_train_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Nothing is left to do where the checkpoint says that training had stopped."""
        if self._extended:
            self.stopped_epoch = self.wait_count = 0
        elif self.stopped_epoch:
            trainer.should_stop = True


class GracefulStop(Callback):
    """Turns Ctrl-C, and SIGTERM, into a stop after the batch in hand; the second stops at once.

    Attributes:
        asked: The signal that came first, 0 without.
        left: Whether training ended because some process was asked.
        is_shown: Whether somebody else says that training stops, on the terminal's last line.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.left = False
        self.is_shown = False
        self._before: dict[int, Any] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals, where they can be heard, from before Lightning sets up to after its end.

        A signal that finds another handler in between ends in Lightning's own, which leaves the
        program with exit code 1.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (int(signal.SIGINT), int(signal.SIGTERM)):
            self._before[number] = signal.signal(number, self._stop)
        try:
            yield
        finally:
            for number, before in self._before.items():
                if before is not None:  # one that was not set from Python cannot be set
                    signal.signal(number, before)

    @property
    def terminated(self) -> bool:
        """Whether any process was told to end; all have to ask."""
        return processes.any_of(self.asked == signal.SIGTERM)

    def on_train_start(self, *_: Any) -> None:
        """Leave before the first batch where a signal came already."""
        if self._before:
            # Lightning's own handler exchanges messages between the processes in the middle of
            # whatever they are at, and each waits for ever.
            signal.signal(signal.SIGTERM, self._stop)
        self.leave()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Leave between two batches, all processes at the same; training does so after its own."""
        self.leave()

    def leave(self) -> None:
        """Raise `TrainingInterruptedError` in all processes where one of them has been asked."""
        if self.is_wanted():
            self.leave_now()

    def leave_now(self) -> NoReturn:
        """Raise `TrainingInterruptedError`, which all processes do together."""
        self.left = True
        raise TrainingInterruptedError

    def is_wanted(self) -> bool:
        """Whether any process has been asked to stop; all have to call it."""
        return processes.any_of(bool(self.asked))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Written past the console: the signal may have come in the middle of one of its own lines,
        # or of an import that printing would need.
        if self.asked:
            if not self.is_shown:
                _write_error("\nstopped at once\n")
            before = self._before[number]
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            elif callable(before):  # it may have more to do than to raise
                before(number, frame)
            raise KeyboardInterrupt
        self.asked = number
        if number == signal.SIGINT and not self.is_shown:
            _write_error(f"\n{STOPPING}\n")


def _write_error(text: str) -> None:
    """To stderr without any buffer or import; nothing where it has no descriptor or is closed."""
    with suppress(AttributeError, OSError, ValueError):  # None, a notebook's, a closed one
        os.write(sys.stderr.fileno(), text.encode())
