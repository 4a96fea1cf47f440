"""Batches for losses that compare images: several classes, several images of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import distributed
from torch.utils.data import Sampler

from lookcloser.core import LookcloserError

Indices = NDArray[np.int64]


class ClassBalancedBatchSampler(Sampler[list[int]]):
    """Batches of ``classes_per_batch`` classes × ``images_per_class`` images (N-pair batches).

    An epoch has every image exactly once, over all processes together. The images of a class are
    shuffled and split into groups of ``images_per_class`` (a few are smaller where that does not
    divide), and the groups are dealt to the batches so that

    - no batch has more than ``classes_per_batch`` groups, and no two differ by more than one;
    - a class comes once in a batch, unless it has more groups than there are batches;
    - all processes have equally many batches, none of them empty.

    The deal depends on the seed and the epoch alone, so every process computes the same one and
    takes its part; call `set_epoch` before each epoch. For a ``DataLoader``, pass it as
    ``batch_sampler``; Lightning must not replace it (``use_distributed_sampler=False``).

    Args:
        labels: The class of each image, by index.
        classes_per_batch: N, at least 2; in each process.
        images_per_class: Images in a full group, at least 1; the paper has 2.
        seed: Of the shuffle.
        rank: This process, from 0. By default from `torch.distributed`.
        world_size: Number of processes. By default from `torch.distributed`.

    Raises:
        LookcloserError: If a number is too small, or there are fewer classes than
            ``classes_per_batch``, or fewer groups than processes, or the rank is none of them.
    """

    def __init__(
        self,
        labels: Sequence[int],
        classes_per_batch: int,
        images_per_class: int = 2,
        *,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        running = distributed.is_available() and distributed.is_initialized()
        self.world_size = world_size or (distributed.get_world_size() if running else 1)
        self.rank = (distributed.get_rank() if running else 0) if rank is None else rank
        self.seed, self.epoch, self.images_per_class = seed, 0, images_per_class
        classes = np.unique(np.asarray(labels), return_inverse=True)[1]
        _check(len(np.unique(classes)), classes_per_batch, images_per_class)
        self.members: list[Indices] = np.split(
            np.argsort(classes, kind="stable"), np.cumsum(np.bincount(classes))[:-1]
        )
        if not 0 <= self.rank < self.world_size:
            raise LookcloserError(f"rank {self.rank} of {self.world_size} processes")
        groups = sum(-(-len(member) // images_per_class) for member in self.members)
        if groups < self.world_size:
            raise LookcloserError(
                f"{groups} groups of {images_per_class} images for {self.world_size} processes",
                fix="Use fewer processes or smaller groups",
            )
        self.batches = -(-groups // (self.world_size * classes_per_batch))

    def __len__(self) -> int:
        """Batches of this process in an epoch."""
        return self.batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """This process's batches of the epoch, each a list of indices into the labels."""
        return iter(self._deal()[self.rank :: self.world_size])

    def _deal(self) -> list[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        batches: list[list[int]] = [[] for _ in range(self.batches * self.world_size)]
        load = np.zeros(len(batches))
        for number in rng.permutation(len(self.members)):
            images = rng.permutation(self.members[number])
            groups = np.array_split(images, -(-len(images) // self.images_per_class))
            # The emptiest batches first, ties by lot: loads never differ by more than one group.
            order = np.argsort(load + rng.random(len(load)))
            for turn, group in enumerate(groups):
                chosen = order[turn % len(order)]
                batches[chosen].extend(group.tolist())
                load[chosen] += 1
        return [batches[turn] for turn in rng.permutation(len(batches))]


def _check(classes: int, classes_per_batch: int, images_per_class: int) -> None:
    if images_per_class < 1 or classes_per_batch < 2:
        raise LookcloserError(
            f"{classes_per_batch} classes × {images_per_class} images in a batch",
            allowed="At least 2 classes and 1 image of each",
        )
    if classes_per_batch > classes:
        raise LookcloserError(
            f"{classes_per_batch} classes in a batch, but the data has {classes}",
            fix=f"Use at most {classes} classes in a batch and more images of each",
        )
