"""One pass over a split, and the numbers that are kept of each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookcloser.data import Sample
from lookcloser.data.targets import Targets
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.split_loop import Skipped, SplitBatch, run_split

T = TypeVar("T")


@dataclass(frozen=True)
class Loop:
    """How the network is asked about a split.

    Attributes:
        engine: The network.
        batch_size: Images per forward pass.
        workers: Loading processes.
        progress: Told (done, total) images after each batch, or None.
    """

    engine: TorchEngine
    batch_size: int = 32
    workers: int = 0
    progress: Callable[[int, int], None] | None = None

    def run(
        self,
        samples: Sequence[Sample],
        targets: Targets,
        ask: Callable[[SplitBatch], T],
        skipped: Skipped,
    ) -> Iterator[tuple[SplitBatch, T]]:
        """As `run_split`; nothing at all for no samples."""
        if not samples:
            return
        for batch, answer in run_split(
            self.engine, samples, targets, ask, skipped, batch_size=self.batch_size,
            workers=self.workers,
        ):  # fmt: skip
            yield batch, answer
            if self.progress is not None:
                self.progress(batch.rows[-1] + 1, len(samples))


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
