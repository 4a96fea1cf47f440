"""The one loop over the images of a split, for everything that is done with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating
from lookcloser.core.options import whole
from lookcloser.core.sizes import ImageSize
from lookcloser.data import Sample
from lookcloser.data.dataset import EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import Targets
from lookcloser.data.transforms import evaluation_transform
from lookcloser.inference.engine import TorchEngine

T = TypeVar("T")
Skipped = list[tuple[str, str]]


class SplitBatch(NamedTuple):
    """The readable images of a batch.

    Attributes:
        samples: What they are of.
        rows: Their positions in the split.
        images: (B, 3, H, W), on the engine's device.
        targets: As the `Targets` make them, on the CPU.
        sizes: Of each original image.
    """

    samples: list[Sample]
    rows: list[int]
    images: Tensor
    targets: Tensor
    sizes: list[ImageSize]


def read_split(
    engine: TorchEngine,
    samples: Sequence[Sample],
    targets: Targets,
    skipped: Skipped,
    *,
    batch_size: int,
    workers: int = 0,
) -> Iterator[SplitBatch]:
    """Batches in the order of ``samples``, each with at least one image.

    Args:
        engine: How images are made ready, and where they go.
        samples: What to read.
        targets: Makes the target of a sample.
        skipped: (name, reason) of images that cannot be read are added to it.
        batch_size: Images per batch.
        workers: Loading processes.

    Raises:
        UsageError: For batches of less than one image, and less than no process.
    """
    whole(1, batch_size=batch_size)
    whole(0, workers=workers)
    dataset = ImageDataset(samples, targets, evaluation_transform(engine.header.preprocessing))
    order = EpochSampler(len(dataset), shuffle=False)
    loader = image_loader(dataset, order, batch_size=batch_size, workers=workers, keep_last=True)
    for batch in loader:
        skipped.extend(batch.skipped)
        rows = batch.indices.tolist()
        if rows:
            own = [samples[row] for row in rows]
            images = batch.images.to(engine.device)
            yield SplitBatch(own, rows, images, batch.targets, batch.sizes)


def run_split(
    engine: TorchEngine,
    samples: Sequence[Sample],
    targets: Targets,
    ask: Callable[[SplitBatch], T],
    skipped: Skipped,
    *,
    batch_size: int = 32,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[SplitBatch, T]]:
    """Ask the network about each batch of a split, with one batch in memory at a time.

    Args:
        engine: The network; it is left as it was found.
        samples: What to read.
        targets: Makes the target of a sample.
        ask: Runs the network on a batch, without gradients. What batches of one run share is
            shared (`Model.session`).
        skipped: As in `read_split`.
        batch_size: Images per forward pass.
        workers: Loading processes.
        progress: Told after each batch, and at the end, how many samples are done; the last may
            have been unreadable.

    Yields:
        Each batch with what ``ask`` returned for it.

    Raises:
        LookcloserError: At the end, where no image could be read.
    """
    done = 0
    for batch, answer in ask_split(
        engine, samples, targets, ask, skipped, batch_size=batch_size, workers=workers
    ):
        yield batch, answer
        done = batch.rows[-1] + 1
        if progress is not None:
            progress(done)
    if not done:
        raise nothing_read(samples, skipped)
    if progress is not None and done < len(samples):
        progress(len(samples))


def ask_split(
    engine: TorchEngine,
    samples: Sequence[Sample],
    targets: Targets,
    ask: Callable[[SplitBatch], T],
    skipped: Skipped,
    *,
    batch_size: int,
    workers: int = 0,
) -> Iterator[tuple[SplitBatch, T]]:
    """As `run_split`, and nothing at all where no image could be read: it may be a part of more."""
    for batch in read_split(
        engine, samples, targets, skipped, batch_size=batch_size, workers=workers
    ):
        # The contexts are left before anything is yielded: they would hold for the caller, too.
        with torch.inference_mode(), evaluating(engine.model), engine.session:
            answer = ask(batch)
        yield batch, answer


def nothing_read(samples: Sequence[Sample], skipped: Skipped) -> LookcloserError:
    """The error for a split of which no image could be read."""
    return LookcloserError(
        f"None of the {len(samples)} images could be read, e.g. {skipped[0][1]}",
        fix="`lookcloser data check DATA` lists what is broken",
    )
