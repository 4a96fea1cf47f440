"""The kinds of places that a class is recognized by: spectral clustering of its evidence maps.

After Lapuschkin et al., "Unmasking Clever Hans predictors and assessing what machines really
learn", Nature Communications 2019, who cluster relevance maps so. Here distances are scaled by the
neighborhood of each map (Zelnik-Manor and Perona, NIPS 2004), and as many clusters are taken as
the largest gap between the eigenvalues of the Laplacian says, at most `MOST`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.auditing.shares import Floats

MOST = 4
FEWEST = 8  # maps; of fewer no kinds can be told
_NEIGHBOR = 7  # its distance is the scale of a map's neighborhood
_LEAST = 1e-6  # affinity, so that every map is reached from every other


class Cluster(NamedTuple):
    """Members by row, the most typical first of all."""

    typical: int
    members: NDArray[np.int64]


def clusters(density: Floats) -> list[Cluster]:
    """Kinds of evidence maps, the most frequent first.

    Args:
        density: (N, h, w), each map's sum 1, or all zeros.
    """
    count = len(density)
    # Distances of square roots (Hellinger) do not let one bright cell decide alone.
    points = np.sqrt(density.reshape(count, -1))
    if count < FEWEST:
        affinity = points @ points.T
        return [_cluster(np.arange(count), affinity)]
    affinity = _affinity(points)
    kinds = _how_many(affinity)
    if kinds == 1:
        return [_cluster(np.arange(count), affinity)]
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        kinds, affinity="precomputed", assign_labels="cluster_qr", random_state=0
    )
    labels = model.fit_predict(affinity)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    groups.sort(key=lambda members: (-len(members), int(members[0])))
    return [_cluster(members, affinity) for members in groups]


def _cluster(members: NDArray[np.int64], affinity: Floats) -> Cluster:
    closeness = affinity[np.ix_(members, members)].sum(axis=1)
    return Cluster(int(members[closeness.argmax()]), members)


def _affinity(points: Floats) -> Floats:
    squares = (points**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)
    np.fill_diagonal(distances, 0)
    nearest = min(_NEIGHBOR, len(points) - 1)
    scales = np.sqrt(np.sort(distances, axis=1)[:, nearest])
    product = np.maximum(scales[:, None] * scales, 1e-12)
    affinity: Floats = np.maximum(np.exp(-distances / product), _LEAST)
    return affinity


def _how_many(affinity: Floats) -> int:
    """1 + the position of the largest gap among the first eigenvalues of the Laplacian."""
    degree = affinity.sum(axis=1)
    laplacian = np.eye(len(affinity)) - affinity / np.sqrt(degree[:, None] * degree)
    values = np.linalg.eigvalsh(laplacian)[: MOST + 1]
    return int(np.diff(values).argmax()) + 1
