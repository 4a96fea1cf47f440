"""Sufficient statistics of labeled features: all that a closed-form head needs of its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Counts, sums and second moments, in float64 and additive.

    Those of a union of images are the sums of those of its parts: a head solved from them does not
    depend on when an image came.

    Attributes:
        count: The number of images N.
        per_label: (C,) images with each label.
        label_sums: (C, D) sums of the features of each label's images.
        total: (D,) sum of all features; an image may have no label, or several.
        moment: (D, D) Σ z zᵀ over all images.
    """

    count: int
    per_label: Array
    label_sums: Array
    total: Array
    moment: Array

    @classmethod
    def of(cls, features: NDArray[np.floating], labels: NDArray[np.bool_]) -> Statistics:
        """Of features (N, D) and their labels (N, C)."""
        wide, given = features.astype(np.float64), labels.astype(np.float64)
        sums = given.T @ wide
        return cls(len(wide), given.sum(axis=0), sums, wide.sum(axis=0), wide.T @ wide)

    @property
    def means(self) -> Array:
        """(C, D) mean features of each label; zeros for a label without images."""
        means: Array = self.label_sums / np.maximum(self.per_label, 1)[:, None]
        return means

    @property
    def within(self) -> Array:
        """(D, D) scatter around the means of the classes, where every image has one label."""
        means = self.means
        scatter: Array = self.moment - (means * self.per_label[:, None]).T @ means
        return scatter

    @property
    def around_mean(self) -> Array:
        """(D, D) scatter around the mean of all images."""
        mean = self.total / self.count
        scatter: Array = self.moment - self.count * np.outer(mean, mean)
        return scatter

    def widened(self, columns: NDArray[np.int64], num_labels: int) -> Statistics:
        """The same with label ``i`` as number ``columns[i]`` of ``num_labels`` labels."""
        per_label, sums = np.zeros(num_labels), np.zeros((num_labels, len(self.total)))
        per_label[columns], sums[columns] = self.per_label, self.label_sums
        return Statistics(self.count, per_label, sums, self.total, self.moment)

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.count + other.count,
            self.per_label + other.per_label,
            self.label_sums + other.label_sums,
            self.total + other.total,
            self.moment + other.moment,
        )

    def __sub__(self, part: Statistics) -> Statistics:
        """Of the images that are not in a part of them."""
        return Statistics(
            self.count - part.count,
            self.per_label - part.per_label,
            self.label_sums - part.label_sums,
            self.total - part.total,
            self.moment - part.moment,
        )
