"""Freed memory is kept from step to step, as long as there is enough of it."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from lookcloser.core.memory import has_room, keep


class KeepMemory(Callback):
    """Keep freed memory once a step has shown how much training takes; see `kept_memory`."""

    def __init__(self) -> None:
        self._measured = False

    def on_train_start(self, *_: Any) -> None:
        """Nothing is kept before the first step is done."""
        keep(False)

    def on_train_batch_end(self, *_: Any) -> None:
        """The first step has shown it."""
        if not self._measured:
            self._measured = True
            keep(has_room())

    def on_train_epoch_end(self, *_: Any) -> None:
        """A validation may have taken more."""
        keep(has_room())

    def on_train_end(self, _trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """What follows needs less."""
        keep(True)
