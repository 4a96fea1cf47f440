"""What a closed-form model keeps of its images, so that more can be added without the old ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookcloser.closed_form.statistics import Statistics

LIMIT = 4096  # images whose features are kept; 20 MiB of 1,280 features


@dataclass(frozen=True, eq=False)
class Memory:
    """The features of the images, or of a part of them beside the statistics of all.

    Which part is decided by a hash of each image's features, not by when it came, so that adding
    images one folder at a time leaves the same memory as all at once.

    Attributes:
        features: (N, D) float32 of the kept images, in the order of their hashes.
        labels: (N, C).
        statistics: Of all images; None where all are kept.
        limit: How many are kept at most.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    statistics: Statistics | None = None
    limit: int = LIMIT

    @classmethod
    def of(
        cls, features: NDArray[np.float32], labels: NDArray[np.bool_], limit: int = LIMIT
    ) -> Memory:
        """Of all images: features (N, D) and labels (N, C)."""
        return cls(features, labels, None, limit)._bounded()

    @property
    def count(self) -> int:
        """The number of all images."""
        return len(self.features) if self.statistics is None else self.statistics.count

    @property
    def per_label(self) -> NDArray[np.float64]:
        """(C,) the number of all images with each label."""
        kept: NDArray[np.float64] = self.labels.sum(axis=0).astype(np.float64)
        return kept if self.statistics is None else self.statistics.per_label

    def added(
        self, other: Memory, columns: NDArray[np.int64], others_columns: NDArray[np.int64]
    ) -> Memory:
        """This and another memory together.

        Args:
            other: Of the same backbone's features.
            columns: For each label of this memory its number among the labels of both.
            others_columns: The same for the other.
        """
        number = int(max(columns.max(), others_columns.max())) + 1
        first, second = self._widened(columns, number), other._widened(others_columns, number)
        statistics = None
        if first.statistics is not None or second.statistics is not None:
            statistics = first.all_statistics() + second.all_statistics()
        return Memory(
            np.concatenate([first.features, second.features]),
            np.concatenate([first.labels, second.labels]),
            statistics,
            self.limit,
        )._bounded()

    def all_statistics(self) -> Statistics:
        """Of all images, worked out from the kept features where all are kept."""
        return self.statistics or Statistics.of(self.features, self.labels)

    def _widened(self, columns: NDArray[np.int64], number: int) -> Memory:
        labels = np.zeros((len(self.labels), number), dtype=np.bool_)
        labels[:, columns] = self.labels
        known = self.statistics
        return replace(
            self,
            labels=labels,
            statistics=None if known is None else known.widened(columns, number),
        )

    def _bounded(self) -> Memory:
        """In the order of the hashes, and no more than the limit."""
        order = np.argsort([_hash(row) for row in self.features], kind="stable")
        kept = order[: self.limit]
        statistics = self.all_statistics() if len(kept) < len(order) else self.statistics
        return replace(
            self, features=self.features[kept], labels=self.labels[kept], statistics=statistics
        )


def _hash(row: NDArray[np.float32]) -> int:
    """Of features, rounded as far as one image may differ between two batches."""
    rounded = row.astype(np.float16).tobytes()
    return int.from_bytes(hashlib.sha256(rounded).digest()[:7], "little")
