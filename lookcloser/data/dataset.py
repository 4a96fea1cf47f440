"""Samples as tensors, the same for a seed whatever the number of workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, get_worker_info

from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.core.sizes import ImageSize
from lookcloser.core.wording import count
from lookcloser.data.catalog import Sample
from lookcloser.data.samplers import ClassBalancedBatchSampler
from lookcloser.data.seeds import mixed_seed
from lookcloser.data.shared_memory import affordable_workers
from lookcloser.data.targets import Targets
from lookcloser.data.transforms import Transform

Key = tuple[int, int]


class Batch(NamedTuple):
    """What a loader yields.

    Attributes:
        images: (B, 3, H, W) float32.
        targets: (B,) class indices, (B, C) tags or (B, T) words, as the `Targets` make them.
        indices: (B,) positions among the samples.
        sizes: Of each original image.
        skipped: (name, reason) of images that could not be read; they are not in the batch.
    """

    images: Tensor
    targets: Tensor
    indices: Tensor
    sizes: list[ImageSize]
    skipped: list[tuple[str, str]]


class Item(NamedTuple):
    """One sample: its image, or the reason why there is none."""

    image: Tensor | None
    target: Tensor
    row: int
    name: str
    size: ImageSize = ImageSize(0, 0)
    reason: str = ""


class ImageDataset(Dataset[Item]):
    """Images with their targets, read and transformed on access.

    A key is (epoch, index): random transforms are seeded by both and the seed, so that an epoch is
    the same in one process, in many, and when it is run again after a crash.

    Args:
        samples: What to read.
        targets: Makes the target of a sample.
        transform: PIL RGB image -> tensor.
        seed: Of the random transforms.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        targets: Targets,
        transform: Transform,
        seed: int = 0,
    ) -> None:
        self.samples = samples
        self.targets = targets
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        sample = self.samples[index]
        target = self.targets(sample, epoch, index)
        try:
            original = load_image(sample.source)
        except LookcloserError as error:
            return Item(None, target, index, sample.name, reason=str(error))
        state = torch.get_rng_state()
        # `torch.manual_seed` would seed GPUs too, and where there are none note the whole call
        # stack for each kind of them: a third of the time of a small image.
        own = torch.Generator().manual_seed(mixed_seed(self.seed, epoch, index))
        torch.set_rng_state(own.get_state())
        image = self.transform(original)
        torch.set_rng_state(state)
        return Item(image, target, index, sample.name, ImageSize(*original.size))


class EpochSampler(Sampler[Key]):
    """Keys (epoch, index) in an order that follows from the seed and the epoch alone.

    Args:
        weights: (N,) relative chance of each sample, drawn with replacement; None takes every
            sample once, shuffled.
        size: N, the number of samples.
        seed: Of the order.
        shuffle: False keeps the order of the data.
    """

    def __init__(
        self, size: int, *, seed: int = 0, shuffle: bool = True, weights: Tensor | None = None
    ) -> None:
        self.size, self.seed, self.shuffle, self.weights = size, seed, shuffle, weights
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Key]:
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch, -1))
        if self.weights is not None:
            order = torch.multinomial(self.weights, self.size, True, generator=generator)
        elif self.shuffle:
            order = torch.randperm(self.size, generator=generator)
        else:
            order = torch.arange(self.size)
        return ((self.epoch, index) for index in order.tolist())


class PairBatches(Sampler[list[Key]]):
    """The batches of a `ClassBalancedBatchSampler` as keys (epoch, index)."""

    def __init__(self, sampler: ClassBalancedBatchSampler) -> None:
        self.sampler = sampler  # by this name the training loop finds whose epoch to set

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[list[Key]]:
        # A generator asks for the epoch when the first batch is wanted, not before it is set.
        epoch = self.sampler.epoch
        for batch in self.sampler:
            yield [(epoch, index) for index in batch]


class SharedBatches(Sampler[list[Key]]):
    """One process's share of the batches that a single process would draw from ``sampler``.

    Of each batch every process takes its part, the sizes of which differ by one image at most. So
    all have equally many batches, and together they see what one process sees. A last batch that
    is too small to be shared joins the one before it.

    Args:
        sampler: The order of all images, the same in every process.
        batch_size: Images of a batch, over all processes together.
        rank: This process, from 0.
        world_size: Number of processes.
        least: Images that each of them needs in a batch; batch norm cannot train on one.

    Raises:
        LookcloserError: If there are too few images for all processes.
    """

    def __init__(
        self, sampler: EpochSampler, batch_size: int, *, rank: int, world_size: int, least: int = 1
    ) -> None:
        self.sampler, self.rank, self.world_size = sampler, rank, world_size
        size, smallest = len(sampler), least * world_size
        if size < smallest:
            raise LookcloserError(
                f"{count(size, 'image')} for {world_size} processes",
                allowed=f"At least {least} for each",
                fix="Use fewer --devices",
            )
        ends = [*range(batch_size, size, batch_size), size]
        if len(ends) > 1 and ends[-1] - ends[-2] < smallest:
            del ends[-2]
        self.ends = ends

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self.sampler)
        for start, end in pairwise((0, *self.ends)):
            yield keys[start:end][self.rank :: self.world_size]


class Batches(Sampler[list[Key]]):
    """The batches of another sampler, of one epoch from any of them on.

    Args:
        batches: Draws them in an order that follows from the epoch alone; its ``sampler`` is told
            the epoch.
    """

    def __init__(self, batches: BatchSampler | PairBatches | SharedBatches) -> None:
        self.batches = batches
        self.sampler: Any = batches.sampler  # by this name the training loop finds it
        self._epoch = self._first = 0

    def begin_at(self, epoch: int, first: int) -> None:
        """Choose the epoch, and leave out what comes before its batch number ``first``."""
        self.sampler.set_epoch(epoch)
        self._epoch, self._first = epoch, first

    def __len__(self) -> int:
        """Of a whole epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        # A generator asks for the epoch when the first batch is wanted, not before it is set.
        first = self._first if self.sampler.epoch == self._epoch else 0
        yield from islice(self.batches, first, None)


def image_loader(
    dataset: ImageDataset,
    sampler: Sampler[Key] | PairBatches | SharedBatches,
    *,
    batch_size: int,
    workers: int,
    keep_last: bool = False,
) -> DataLoader[Item]:
    """Batches of `Batch`.

    `PairBatches` and `SharedBatches` come as they are, whatever ``batch_size``. Otherwise a last
    batch of a single image is left out unless ``keep_last``: batch norm cannot train on it.
    """
    batches: Any = sampler
    if not isinstance(sampler, PairBatches | SharedBatches):
        drop_last = len(dataset) % batch_size == 1 and not keep_last
        keys: Any = sampler
        batches = BatchSampler(keys, batch_size, drop_last)
    # Another loader of the same work, such as that of validation, wants its share.
    workers = affordable_workers(workers, 2 * batch_size * _image_bytes(dataset))
    return DataLoader(
        dataset,
        batch_sampler=Batches(batches),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        worker_init_fn=_quiet_worker if workers else None,
    )


def _image_bytes(dataset: ImageDataset) -> int:
    """Of one image as the network gets it."""
    state = torch.get_rng_state()
    made: Tensor = dataset.transform(Image.new("RGB", (8, 8)))
    torch.set_rng_state(state)
    return made.nbytes


def collate(items: list[Item]) -> Batch:
    """Stack what could be read and list the rest."""
    read = [item for item in items if item.image is not None]
    images = [item.image for item in read if item.image is not None]
    return Batch(
        images=torch.stack(images) if images else torch.empty(0),
        targets=torch.stack([item.target for item in read]) if read else torch.empty(0),
        indices=torch.tensor([item.row for item in read], dtype=torch.long),
        sizes=[item.size for item in read],
        skipped=[(item.name, item.reason) for item in items if item.image is None],
    )


def _quiet_worker(_worker: int) -> None:
    """Ctrl-C is the main process's business; a worker would only print a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    info = get_worker_info()
    assert info is not None  # runs in workers only
    torch.set_num_threads(1)
