"""What happens around the steps: averaged weights, the run's files, progress, Ctrl-C."""

from __future__ import annotations

import csv
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader

from lookcloser.core.atomic import replacing
from lookcloser.core.errors import LookcloserError
from lookcloser.data.dataset import Batch
from lookcloser.training import processes
from lookcloser.training.files import CHECKPOINT_FILE, HISTORY_FILE, MODEL_FILE


class TrainingInterruptedError(Exception):
    """Ctrl-C was pressed and the batch in hand is finished."""


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one CSV line per epoch, atomically."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


CHECKPOINT_FORMAT = 1
_FORMAT_KEY = "lookcloser_format"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, read without running code of theirs."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write to a temporary file, then rename."""
        del storage_options  # of remote file systems
        with replacing(path) as temporary:
            try:
                torch.save({**checkpoint, _FORMAT_KEY: CHECKPOINT_FORMAT}, temporary)
            except RuntimeError as error:  # how torch's zip writer reports a full disk
                raise OSError(str(error).splitlines()[0]) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Tensors and plain values only, whatever the caller asks: a checkpoint may be foreign.

        Raises:
            LookcloserError: For a file that is damaged, foreign or of a newer lookcloser.
        """
        del weights_only
        try:
            loaded = torch.load(path, map_location=map_location, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise _unusable(path, "not a readable checkpoint") from error
        callbacks = loaded.get("callbacks") if isinstance(loaded, dict) else None
        if not isinstance(callbacks, dict) or RunWriter.__name__ not in callbacks:
            raise _unusable(path, "a checkpoint that lookcloser did not write")
        written = loaded.get(_FORMAT_KEY, CHECKPOINT_FORMAT)
        if written > CHECKPOINT_FORMAT:
            raise LookcloserError(
                f"{path}: written by a newer lookcloser, in format {written}",
                allowed=f"Formats up to {CHECKPOINT_FORMAT}",
                fix="Update lookcloser",
            )
        checkpoint: dict[str, Any] = loaded
        return checkpoint


def _unusable(path: Any, why: str) -> LookcloserError:
    return LookcloserError(
        f"{path}: {why}",
        fix=f"{MODEL_FILE} beside it may still be good; to train again, choose another --out",
    )


class EMA(WeightAveraging):
    """Exponential moving average of all weights, used in validation and in what is saved.

    The decay rises as min(decay, (1 + n) / (10 + n)), so that short trainings are averaged too.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
            if not averaged.is_floating_point():
                return current
            n = float(count)
            return torch.lerp(current, averaged, min(decay, (1 + n) / (10 + n)))

        super().__init__(use_buffers=True, avg_fn=average)

    def weights(self) -> dict[str, Tensor]:
        """The averaged state dict of the Lightning module."""
        assert self._average_model is not None  # set up before training starts
        return dict(self._average_model.module.state_dict())


class Patience(EarlyStopping):
    """Early stopping that a resumed run remembers: one that had stopped stays stopped.

    Args:
        score: The logged value that has to rise.
        epochs: Stop after so many without a higher one.
    """

    def __init__(self, score: str, epochs: int) -> None:
        # It counts when validation ends: at the end of the epoch Lightning runs early stopping
        # after all other callbacks, and the checkpoint would hold the count of the epoch before.
        super().__init__(score, mode="max", patience=epochs, check_on_train_epoch_end=False)

    def on_train_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Nothing is left to do where the checkpoint says that training had stopped."""
        if self.stopped_epoch:
            trainer.should_stop = True


class RunWriter(Callback):
    """metrics.csv, model.safetensors (the best so far) and last.ckpt after every epoch.

    last.ckpt comes last: a run killed anywhere before it repeats the epoch to the same files.
    Of several processes the first writes, for all of them.

    Args:
        folder: The run.
        save: Writes model.safetensors from a state dict of the network and the epoch's scores.
        ema: Where the averaged weights are, if any.
        score: The logged value that chooses the best epoch.
    """

    def __init__(
        self,
        folder: Path,
        save: Callable[[Mapping[str, Tensor], Mapping[str, float]], None],
        ema: EMA | None,
        score: str,
    ) -> None:
        self.folder, self.save, self.ema, self.score = folder, save, ema, score
        self.history: list[dict[str, float]] = []
        self.best: tuple[float, float] | None = None
        self.skipped: dict[str, str] = {}
        self._started = self._waited = self._mark = 0.0
        self._images = 0

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"history": self.history, "best": self.best, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.history, self.skipped = state["history"], state["skipped"]
        self.best = tuple(state["best"]) if state["best"] is not None else None

    def on_train_epoch_start(self, _trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Start the clocks."""
        self._started = self._mark = time.perf_counter()
        self._waited, self._images = 0.0, 0

    def on_train_batch_start(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, batch: Batch, _index: int
    ) -> None:
        """Since the last batch ended, the loop has waited for data."""
        self._waited += time.perf_counter() - self._mark
        self._images += len(batch.targets)
        self.skipped.update(batch.skipped)

    def on_train_batch_end(self, *_: Any) -> None:
        """From here the loop waits for the next batch."""
        self._mark = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Validation is not part of the training speed."""
        if not trainer.sanity_checking:
            self._mark = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write everything of this epoch."""
        now, spent = time.perf_counter(), self._mark - self._started
        images = sum(processes.all_of(self._images))
        for skipped in processes.all_of(self.skipped):
            self.skipped.update(skipped)
        scores = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(("train_", "val_"))
        }
        row = {
            "epoch": trainer.current_epoch + 1,
            **scores,
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "seconds": round(now - self._started, 3),
            "images_per_second": round(images / max(spent, 1e-9), 2),
            "data_wait": round(self._waited / max(spent, 1e-9), 4),
        }
        self.history.append(row)
        is_best = self._is_best(scores)
        if processes.rank() == 0:
            write_history(self.folder / HISTORY_FILE, self.history)
            if is_best:
                self.save(self.network_state(module), scores)
        trainer.save_checkpoint(self.folder / CHECKPOINT_FILE)

    def network_state(self, module: pl.LightningModule) -> dict[str, Tensor]:
        """The network's state dict, of the averaged weights where there are any."""
        state = module.state_dict() if self.ema is None else self.ema.weights()
        prefix = "model."
        return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}

    def _is_best(self, scores: Mapping[str, float]) -> bool:
        """Higher score, then lower val_loss; without a validation split the latest."""
        if self.score not in scores:
            return True
        key = (scores[self.score], -scores["val_loss"])
        if self.best is not None and key <= self.best:
            return False
        self.best = key
        return True


class ResumedOrder(Callback):
    """Tells the sampler of a resumed run its epoch before anything is drawn from it.

    Lightning does so too, but not until it has started the workers, whose first batches are then
    those of another epoch.

    Args:
        loader: Of the training images; the sampler below its batches has ``set_epoch``.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def on_load_checkpoint(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """The checkpoint is of the end of an epoch; the next one follows."""
        batches: Any = self.loader.batch_sampler
        batches.sampler.set_epoch(checkpoint["epoch"] + 1)


class EpochLines(Callback):
    """One line per epoch on stderr; it stays when the progress bar goes."""

    def __init__(self, console: Console, writer: RunWriter, score_title: str) -> None:
        self.console, self.writer, self.score_title = console, writer, score_title

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Print the row that `RunWriter`, which runs before, has just written."""
        row = self.writer.history[-1]
        parts = [f"epoch {int(row['epoch'])}/{trainer.max_epochs}", f"loss {row['train_loss']:.3f}"]
        if self.writer.score in row:
            score = f"{self.score_title} {row[self.writer.score]:.1%}"
            parts.append(f"val loss {row['val_loss']:.3f}, {score}")
        parts.append(f"{row['images_per_second']:.0f} img/s")
        parts.append(f"waiting for data {row['data_wait']:.0%}")
        parts.append(f"{row['seconds']:.0f} s")
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)


class GracefulStop(Callback):
    """Turns the first Ctrl-C into a stop after the batch in hand; the second stops at once.

    Attributes:
        asked: Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear Ctrl-C, where signals can be heard, from before Lightning sets up to after its end.

        A signal that finds another handler in between ends in Lightning's own, which leaves the
        program with exit code 1.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._before = signal.signal(signal.SIGINT, self._stop)
        try:
            yield
        finally:
            if self._before is not None:  # one that was not set from Python cannot be set
                signal.signal(signal.SIGINT, self._before)

    def on_train_start(self, *_: Any) -> None:
        """Leave before the first batch where Ctrl-C came already."""
        self._leave()

    def on_train_batch_end(self, *_: Any) -> None:
        """Leave between two batches, all processes at the same."""
        self._leave()

    def _leave(self) -> None:
        if processes.any_of(self.asked):
            raise TrainingInterruptedError

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # Written past the console: the signal may have come in the middle of one of its own lines,
        # or of an import that printing would need.
        if self.asked:
            _write_error("\nstopped at once\n")
            if callable(self._before):  # it may have more to do than to raise
                self._before(number, frame)
            raise KeyboardInterrupt
        self.asked = True
        _write_error("\nStopping after this batch; press Ctrl-C again to stop at once.\n")


def _write_error(text: str) -> None:
    """To stderr without any buffer or import; nothing where it has no descriptor or is closed."""
    with suppress(AttributeError, OSError, ValueError):  # None, a notebook's, a closed one
        os.write(sys.stderr.fileno(), text.encode())
