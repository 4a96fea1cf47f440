"""Whether the images can be read: before a training, and all the while."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from lookcloser.core.archives import Packed
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.dataset import Batch, ImageDataset, Item
from lookcloser.training.parallel import processes

_LOST = 0.1  # share of an epoch's images that may get lost on the way, as single files do


def check_readable(catalog: Catalog) -> None:
    """Raise a `LookcloserError` where not one image of the train or the val split can be read.

    Usually it reads one of each.
    """
    for split in ("train", "val"):
        samples = catalog.split(split) if split in catalog.splits else ()
        reason = ""
        for sample in samples:
            try:
                load_image(sample.source)
                break
            except LookcloserError as error:
                reason = reason or str(error)
        else:
            if samples:
                raise LookcloserError(
                    f"None of the {len(samples)} images of the {split} split can be read; "
                    f"the first: {reason.rstrip('.')}",
                    fix="`lookcloser data check DATA` says what is wrong with each",
                )


class DataWatch(Callback):
    """Notes images that cannot be read, and ends a training whose data goes away.

    A broken image is left out of every epoch alike. One that could be read before, or whose folder
    is gone, is lost. An epoch without any image, or with many of them lost, is not like the others:
    it is never kept, and the run can be resumed when the data is there again.

    Args:
        folder: The run, for the error.
        train: The loader of the training images.
        val: That of the validation images, if there are any.

    Attributes:
        skipped: Images that could not be read: name -> reason.
    """

    def __init__(self, folder: Path, train: DataLoader[Item], val: DataLoader[Item] | None) -> None:
        self.folder = folder
        self.skipped: dict[str, str] = {}
        self._train = _Watched(train)
        self._val = None if val is None else _Watched(val)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.skipped = dict(state["skipped"])

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start counting again."""
        self._train.begin()

    def on_train_batch_start(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, batch: Batch, _index: int
    ) -> None:
        """Note what was read."""
        self._note(self._train, batch)

    def on_validation_epoch_start(self, *_: Any) -> None:
        """See whether it is worth while, and start counting again."""
        self.check()
        if self._val is not None:
            self._val.begin()

    def on_validation_batch_start(
        self,
        _trainer: pl.Trainer,
        _module: pl.LightningModule,
        batch: Batch,
        _index: int,
        _loader: int = 0,
    ) -> None:
        """Note what was read."""
        assert self._val is not None  # there is something to validate on
        self._note(self._val, batch)

    def on_validation_epoch_end(self, *_: Any) -> None:
        """Before anybody looks at the scores, see what they are of."""
        assert self._val is not None  # as above
        self._check(self._val, "validation")

    def on_train_epoch_end(self, *_: Any) -> None:
        """Before anything of the epoch is kept, and where no validation came first."""
        self.check()
        for skipped in processes.all_of(self.skipped):
            self.skipped.update(skipped)

    def check(self) -> None:
        """Raise a `LookcloserError`, in all processes, if this epoch lacks its training images."""
        self._check(self._train, "training")

    def lacks_images(self) -> bool:
        """Whether any process has lost an image of this epoch; all have to ask.

        Such an epoch may be kept at its end, but a run that is resumed within it could not make up
        for what it lacks.
        """
        return processes.any_of(self._train.lost > 0)

    def _note(self, watched: _Watched, batch: Batch) -> None:
        watched.note(batch)
        self.skipped.update(batch.skipped)

    def _check(self, watched: _Watched, kind: str) -> None:
        counts = processes.all_of((watched.images, watched.lost, watched.reason))
        images, lost = (sum(values) for values in (*zip(*counts, strict=True),)[:2])
        reason = next((reason for *_, reason in counts if reason), "")
        if images and lost <= _LOST * (images + lost):
            return
        if not reason:  # nothing was left to do in this epoch
            return
        many = f"{lost:,} of {images + lost:,}" if images else "all"
        raise LookcloserError(
            f"{self.folder}: the data went away: {many} {kind} images of this epoch cannot be read "
            f"any more ({reason.rstrip('.')}); the epochs before are kept",
            fix="When it is there again, `lookcloser train --resume "
            f"{shlex.quote(str(self.folder))}` goes on",
        )


class _Watched:
    """What was read of one split in this epoch, and before.

    Attributes:
        images: How many were read.
        lost: How many could not be, but could before.
        reason: Of the first of those that could not be read.
    """

    def __init__(self, loader: DataLoader[Item]) -> None:
        dataset = loader.dataset
        assert isinstance(dataset, ImageDataset)  # as `make_loaders` makes them
        self.samples = dataset.samples
        self._seen = np.zeros(len(self.samples), dtype=bool)
        self._positions: dict[str, int] = {}
        self.begin()

    def begin(self) -> None:
        """A new epoch."""
        self.images = self.lost = 0
        self.reason = ""

    def note(self, batch: Batch) -> None:
        """Count a batch."""
        self.images += len(batch.indices)
        self._seen[batch.indices.cpu().numpy()] = True
        if batch.skipped and not self._positions:
            self._positions = {sample.name: i for i, sample in enumerate(self.samples)}
        for name, reason in batch.skipped:
            self.reason = self.reason or reason
            position = self._positions[name]
            self.lost += bool(self._seen[position] or _is_gone(self.samples[position]))


def _is_gone(sample: Sample) -> bool:
    """Whether even the folder or the archive of an image is not there."""
    if isinstance(sample.source, Packed):
        return not sample.source.archive.is_file()
    return isinstance(sample.source, Path) and not sample.source.parent.is_dir()
