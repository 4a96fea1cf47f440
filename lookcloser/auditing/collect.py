"""One pass over the images: maps, what stays the same, and mean images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser.auditing.sameness import Sameness
from lookcloser.core.errors import LookcloserError
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Output
from lookcloser.data import Sample
from lookcloser.data.seeds import mixed_seed
from lookcloser.data.targets import ClassTargets
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.split_loop import SplitBatch, run_split

_AVERAGE_SIDE = 112  # pixels of a mean image


@dataclass(frozen=True)
class Collected:
    """What was seen, row by row in the order of the samples; unread ones have no row.

    Attributes:
        rows: (N,) positions among the samples.
        classes: (N,) true classes.
        maps: (N, h, w) raw maps of these.
        sizes: Of each image.
        same: What stays the same in each class.
        averages: (C, H, W, 3) uint8, the mean image of each class.
        skipped: (name, reason) of the others.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    maps: NDArray[np.float32]
    sizes: tuple[ImageSize, ...]
    same: Sameness
    averages: NDArray[np.uint8]
    skipped: tuple[tuple[str, str], ...]


def choose(samples: Sequence[Sample], per_class: int, seed: int) -> list[Sample]:
    """At most ``per_class`` samples of each class in a mixed order, the same for a seed."""
    order = torch.randperm(
        len(samples), generator=torch.Generator().manual_seed(mixed_seed(seed, 0, -5))
    )
    taken: dict[str, int] = {}
    chosen = []
    for index in order.tolist():
        label = samples[index].labels[0]
        if taken.setdefault(label, 0) < per_class:
            taken[label] += 1
            chosen.append(samples[index])
    return chosen


def collect(
    engine: TorchEngine,
    samples: Sequence[Sample],
    *,
    batch_size: int,
    workers: int,
    progress: Callable[[int], None],
) -> Collected:
    """Run the model over samples once; ``progress`` is told how many are done.

    Raises:
        LookcloserError: For a method without class maps, and where no image can be read.
    """
    header, prepared = engine.header, engine.header.preprocessing
    height, width = (min(side, _AVERAGE_SIDE) for side in prepared.size)
    same = Sameness(len(header.names), prepared.size)
    sums = torch.zeros(len(header.names), 3, height, width)
    skipped: list[tuple[str, str]] = []
    rows: list[int] = []
    sizes: list[ImageSize] = []
    classes, maps = [], []

    def ask(batch: SplitBatch) -> Tensor:
        asked = batch.targets[:, None].to(engine.device)
        output: Output = engine.model(batch.images, targets=asked)
        if output.maps is None:
            raise LookcloserError(f"{header.method}: gives no class maps to audit")
        return output.maps[:, 0].float().cpu()

    for batch, found in run_split(
        engine,
        samples,
        ClassTargets(header.names),
        ask,
        skipped,
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    ):
        maps.append(found)
        rows += batch.rows
        classes.append(batch.targets)
        sizes += batch.sizes
        images = batch.images.cpu()
        same.add(images, batch.targets)
        sums.index_add_(0, batch.targets, F.adaptive_avg_pool2d(images, (height, width)))
    every = torch.cat(classes)
    counts = torch.bincount(every, minlength=len(header.names)).clamp(min=1)
    return Collected(
        rows=np.array(rows),
        classes=every.numpy(),
        maps=torch.cat(maps).numpy(),
        sizes=tuple(sizes),
        same=same,
        averages=_in_bytes(sums / counts[:, None, None, None], prepared),
        skipped=tuple(skipped),
    )


def _in_bytes(images: Tensor, prepared: Preprocessing) -> NDArray[np.uint8]:
    """Normalized images (N, 3, H, W) as 8-bit images (N, H, W, 3)."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (prepared.mean, prepared.std))
    levels = ((images * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
    found: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).numpy()
    return found
