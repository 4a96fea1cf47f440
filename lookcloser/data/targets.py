"""What a network learns of a sample: its answer as a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from lookcloser.data.catalog import Sample


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


def index_of(names: Sequence[str]) -> Mapping[str, int]:
    """Name -> index."""
    return {name: index for index, name in enumerate(names)}
