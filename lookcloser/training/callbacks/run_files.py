"""What happens around the steps: the run's files, the order of a resumed run."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import DataLoader

from lookcloser.core.storage.atomic import replacing
from lookcloser.data.dataset import Batch
from lookcloser.training.callbacks.averaging import Averaged, trained_state
from lookcloser.training.files import CHECKPOINT_FILE, HISTORY_FILE
from lookcloser.training.parallel import processes
from lookcloser.training.tasks.module import TrainingModule, diverged


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one CSV line per epoch, atomically."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


class RunWriter(Callback):
    """metrics.csv, model.safetensors (the best so far) and last.ckpt after every epoch.

    last.ckpt comes last: a run killed anywhere before it repeats the epoch to the same files.
    Of several processes the first writes, for all of them.

    Args:
        folder: The run.
        save: Writes model.safetensors from a state dict of the network and the epoch's scores.
        instead: Has the weights that are kept instead of those of the last step, if any.
        score: The logged value that chooses the best epoch.
    """

    def __init__(
        self,
        folder: Path,
        save: Callable[[Mapping[str, Tensor], Mapping[str, float]], None],
        instead: Averaged | None,
        score: str,
    ) -> None:
        self.folder, self.save, self.instead, self.score = folder, save, instead, score
        self.history: list[dict[str, float]] = []
        self.best: tuple[float, float] | None = None
        self._images = 0
        self._waited = 0.0
        self._started = self._mark = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"history": self.history, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.history = state["history"]
        self.best = tuple(state["best"]) if state["best"] is not None else None

    def on_train_start(self, *_: Any) -> None:
        """Start the clocks, also of an epoch that is resumed in its middle."""
        self._started = self._mark = time.perf_counter()

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

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, _out: Any, _batch: Batch, index: int
    ) -> None:
        """From here the loop waits for the next batch."""
        if module.device.type == "cuda" and index + 1 == trainer.num_training_batches:
            torch.cuda.synchronize(module.device)  # the last steps may still be at work
        self._mark = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Validation is not part of the training speed."""
        if not trainer.sanity_checking:
            self._mark = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write everything of this epoch.

        Raises:
            LookcloserError: For weights that are not numbers any more; nothing is written then.
        """
        assert isinstance(module, TrainingModule)  # as `fit` makes it
        module.check_losses()
        now, spent = time.perf_counter(), self._mark - self._started
        images = sum(processes.all_of(self._images))
        losses = {f"train_{name}": mean for name, mean in module.means().items()}
        validated = trainer.callback_metrics.items()
        scores = losses | {k: float(v) for k, v in validated if k.startswith("val_")}
        row = {
            "epoch": trainer.current_epoch + 1,
            **scores,
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            "seconds": round(now - self._started, 3),
            "images_per_second": round(images / max(spent, 1e-9), 2),
            "data_wait": round(self._waited / max(spent, 1e-9), 4),
        }
        state = self.network_state(module)
        broken = any(bool(torch.isnan(value).any()) for value in state.values())
        if processes.any_of(broken):  # of a sharded network the first process has the weights
            raise diverged(module.options, f"a weight after epoch {row['epoch']}")
        self.history.append(row)
        is_best = self._is_best(scores)
        if processes.rank() == 0:
            if trainer.logger is not None:
                trainer.logger.log_metrics(losses, trainer.global_step)
            write_history(self.folder / HISTORY_FILE, self.history)
            if is_best:
                self.save(state, scores)
        self.save_checkpoint(trainer)

    def save_checkpoint(self, trainer: pl.Trainer) -> None:
        """Write last.ckpt; all processes have to call it."""
        trainer.save_checkpoint(self.folder / CHECKPOINT_FILE)

    def network_state(self, module: TrainingModule) -> dict[str, Tensor]:
        """The network's state dict, as it is kept.

        Of a sharded network all processes have to ask; the first gets it.
        """
        return trained_state(module, self.instead)

    def _is_best(self, scores: Mapping[str, float]) -> bool:
        """Higher score, then lower val_loss; without a validation split the latest."""
        if self.score not in scores:
            return True
        key = (scores[self.score], -scores["val_loss"])
        if not all(map(math.isfinite, key)) or (self.best is not None and key <= self.best):
            return False
        self.best = key
        return True


class ResumedOrder(Callback):
    """Tells the order of a resumed run where it stands before anything is drawn from it.

    Lightning tells the epoch too, but not until it has started the workers, whose first batches
    are then those of another epoch.

    Args:
        loader: Of the training images, in `lookcloser.data.dataset.Batches`.

    Attributes:
        next: The epoch and the batch that come next.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader
        self.next = (0, 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, _module: Any, _outputs: Any, _batch: Batch, index: int
    ) -> None:
        """Another batch is done."""
        self.next = trainer.current_epoch, index + 1

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Another epoch is done."""
        self.next = trainer.current_epoch + 1, 0

    def on_save_checkpoint(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember the place."""
        checkpoint["next"] = list(self.next)

    def on_load_checkpoint(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go there; older checkpoints are all of the end of an epoch."""
        epoch, batch = checkpoint.get("next", (checkpoint["epoch"] + 1, 0))
        self.next = epoch, batch
        batches: Any = self.loader.batch_sampler
        batches.begin_at(epoch, batch)
