"""What a closed-form model keeps of its images, so that more can be added without the old ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookcloser.closed_form.statistics import Statistics

# By how much of their length the features of one image may differ between two machines.
_SAME = 1e-4
LIMIT = 4096  # images whose features are kept; 20 MiB of 1,280 features


@dataclass(frozen=True, eq=False)
class Memory:
    """The features of the images, or of a part of them beside the statistics of all.

    Which part is decided by a hash of each image's features, not by when it came, so that adding
    images one folder at a time leaves the same memory as all at once. An image that comes again
    with the same labels counts once, as long as its features are kept: left out while its copy is
    there, it would seem to be known for sure.

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
        """Of all images: features (N, D) and labels (N, C), N at least 1."""
        return cls(features, labels, None, limit)._once()._bounded()

    @property
    def count(self) -> int:
        """The number of all images."""
        return len(self.features) if self.statistics is None else self.statistics.count

    @property
    def per_label(self) -> NDArray[np.float64]:
        """(C,) the number of all images with each label."""
        kept: NDArray[np.float64] = self.labels.sum(axis=0).astype(np.float64)
        return kept if self.statistics is None else self.statistics.per_label

    @property
    def squares(self) -> float:
        """The sum of the squares of all features of all images."""
        if self.statistics is not None:
            return float(np.trace(self.statistics.moment))
        return float((self.features.astype(np.float64) ** 2).sum())

    def added(
        self, other: Memory, columns: NDArray[np.int64], others_columns: NDArray[np.int64]
    ) -> Memory:
        """This and another memory together.

        Args:
            other: Of the same backbone's features.
            columns: For each label of this memory its number among the labels of both.
            others_columns: The same for the other.
        """
        # Either may be empty: images that have no tag.
        number = int(np.concatenate([columns, others_columns]).max()) + 1
        first, second = self._widened(columns, number), other._widened(others_columns, number)
        second = second._without(first)
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

    def _keys(self) -> list[tuple[int, bytes]]:
        """What tells the kept images apart: their features, and what they show."""
        rows = zip(self.features, self.labels, strict=True)
        return [(_hash(features), labels.tobytes()) for features, labels in rows]

    def _without(self, other: Memory) -> Memory:
        """All images but those that another memory keeps."""
        again = np.zeros(len(self.features), dtype=np.bool_)
        lengths = np.linalg.norm(other.features.astype(np.float64), axis=1)
        order = np.argsort(lengths)
        lengths = lengths[order]
        for row, (features, labels) in enumerate(zip(self.features, self.labels, strict=True)):
            own = features.astype(np.float64)
            length = float(np.linalg.norm(own))
            low = lengths.searchsorted(length * (1 - _SAME), "left")
            high = lengths.searchsorted(length * (1 + _SAME), "right")
            near = order[low:high]
            alike = np.linalg.norm(other.features[near] - own, axis=1) <= _SAME * length
            again[row] = (alike & (other.labels[near] == labels).all(axis=1)).any()
        statistics = self.statistics
        if statistics is not None:
            statistics = statistics - Statistics.of(self.features[again], self.labels[again])
        features, labels = self.features[~again], self.labels[~again]
        return replace(self, features=features, labels=labels, statistics=statistics)

    def _once(self) -> Memory:
        """Each of the images, all of which are kept, once."""
        rows = list({key: row for row, key in enumerate(self._keys())}.values())
        return replace(self, features=self.features[rows], labels=self.labels[rows])

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
    """Of features, rounded to 10 bits, as far as one image may differ between two machines."""
    bits = (row.astype(np.float32) + np.float32(0)).view(np.uint32)  # no -0
    rounded = ((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).tobytes()
    return int.from_bytes(hashlib.sha256(rounded).digest()[:7], "little")
