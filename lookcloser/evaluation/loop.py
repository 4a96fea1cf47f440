"""One pass over a split, and the numbers that are kept of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.data import Sample
from lookcloser.data.targets import Targets
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.split_loop import (
    Skipped,
    SplitBatch,
    ask_split,
    nothing_read,
    run_split,
)
from lookcloser.models import Model
from lookcloser.runtime.spread import Spread

T = TypeVar("T")
Ask = Callable[[Model, SplitBatch], T]
"""Runs a network on a batch; it holds none itself, so that it can be sent to where one is."""


@dataclass(frozen=True)
class Loop:
    """How the network is asked about a split.

    Attributes:
        engine: The network.
        batch_size: Images per forward pass.
        workers: Loading processes.
        progress: Told (done, total) images after each batch, or None.
        spread: Runs the network elsewhere, or None; scoring is done here in any case.
    """

    engine: TorchEngine
    batch_size: int = 32
    workers: int = 0
    progress: Callable[[int, int], None] | None = None
    spread: Spread | None = None

    def run(
        self, samples: Sequence[Sample], targets: Targets, ask: Ask[T], skipped: Skipped
    ) -> Iterator[tuple[SplitBatch, T]]:
        """As `run_split`; nothing at all for no samples."""
        if not samples:
            return
        how: dict[str, Any] = {"batch_size": self.batch_size, "workers": self.workers}
        if self.spread is None:
            answered = run_split(
                self.engine, samples, targets, partial(ask, self.engine.model), skipped, **how
            )
        else:
            answered = self._spread(self.spread, samples, targets, ask, skipped)
        done = 0
        for batch, answer in answered:
            yield batch, answer
            done = batch.rows[-1] + 1
            if self.progress is not None:
                self.progress(done, len(samples))
        if self.progress is not None and done < len(samples):  # the last were unreadable
            self.progress(len(samples), len(samples))

    def _spread(
        self,
        spread: Spread,
        samples: Sequence[Sample],
        targets: Targets,
        ask: Ask[T],
        skipped: Skipped,
    ) -> Iterator[tuple[SplitBatch, T]]:
        """The same from elsewhere; images stay there."""
        work = partial(_answers, targets, ask, self.batch_size, self.workers)
        any_read, first = False, 0
        for count, answered, failed in spread(work, samples):
            skipped.extend(failed)
            for batch, answer in answered:
                any_read = True
                yield batch._replace(rows=[first + row for row in batch.rows]), answer
            first += count
        if not any_read:
            raise nothing_read(samples, skipped)


def _answers(
    targets: Targets,
    ask: Ask[T],
    batch_size: int,
    workers: int,
    engine: TorchEngine,
    samples: Sequence[Sample],
) -> tuple[int, list[tuple[SplitBatch, T]], Skipped]:
    """How many samples there were, their batches without images, and what could not be read."""
    skipped: Skipped = []
    answered = [
        (batch._replace(images=torch.empty(0)), answer)
        for batch, answer in ask_split(
            engine,
            samples,
            targets,
            partial(ask, engine.model),
            skipped,
            batch_size=batch_size,
            workers=workers,
        )
    ]
    return len(samples), answered, skipped


@dataclass
class Columns:
    """Numbers of each image, by name, that come batch by batch."""

    _parts: dict[str, list[NDArray[Any]]] = field(default_factory=dict)

    def add(self, **columns: NDArray[Any]) -> None:
        """(B, …) of each name, the same names each time."""
        for name, values in columns.items():
            self._parts.setdefault(name, []).append(values)

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def __getitem__(self, name: str) -> NDArray[Any]:
        return np.concatenate(self._parts[name])
