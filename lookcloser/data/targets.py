"""What a network learns of a sample: its answer as a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lookcloser.data.catalog import Sample
from lookcloser.data.seeds import mixed_seed
from lookcloser.data.vocabulary import END, NULL, START, Vocabulary


class Targets(Protocol):
    """Turns the answer of a sample into a tensor of the same shape for every sample."""

    def __call__(self, sample: Sample, epoch: int, index: int) -> Tensor:
        """The target of ``sample``, number ``index``, in ``epoch``."""


class ClassTargets:
    """The class as an index, a scalar of int64.

    Args:
        names: Class names by index.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._index = index_of(names)

    def __call__(self, sample: Sample, epoch: int, index: int) -> Tensor:
        """The index of the one label."""
        return torch.tensor(self._index[sample.labels[0]])


class TagTargets:
    """The tags as zeros and ones, float32 of shape (C,).

    Args:
        names: Tag names by index.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._index = index_of(names)

    def __call__(self, sample: Sample, epoch: int, index: int) -> Tensor:
        """One where the sample has the tag."""
        target = torch.zeros(len(self._index))
        target[[self._index[name] for name in sample.labels]] = 1.0
        return target


class CaptionTargets:
    """A caption as words, int64 of shape (length + 2,): START, the words, END, then NULL.

    A caption that is longer than ``length`` is cut and has no END: it did not end there.

    Args:
        names: The vocabulary; see `Vocabulary`.
        length: The most words of a caption that are kept.
        seed: One caption of each sample is drawn again in every epoch; None always takes the first.
    """

    def __init__(self, names: Sequence[str], length: int, seed: int | None = None) -> None:
        self._vocabulary, self._length, self._seed = Vocabulary(names), length, seed

    def __call__(self, sample: Sample, epoch: int, index: int) -> Tensor:
        """One of the sample's captions; which one follows from seed, epoch and index alone."""
        drawn = 0 if self._seed is None else mixed_seed(self._seed, epoch, index, -3)
        return self.of(sample.captions[drawn % len(sample.captions)])

    def of(self, caption: str) -> Tensor:
        """A sentence as words."""
        words = self._vocabulary.encode(caption)
        kept = [START, *words[: self._length], *([END] if len(words) <= self._length else [])]
        target = torch.full((self._length + 2,), NULL)
        target[: len(kept)] = torch.tensor(kept)
        return target


def index_of(names: Sequence[str]) -> Mapping[str, int]:
    """Name -> index."""
    return {name: index for index, name in enumerate(names)}
