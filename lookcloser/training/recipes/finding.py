"""Where a first look sees the classes of images, and what a finder of such places learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser.closed_form import Head, Memory
from lookcloser.core.sizes import Grid
from lookcloser.models.cam.closer import best_places, window_means
from lookcloser.training.recipes.closed_form import solve
from lookcloser.training.recipes.looks import Looks

_SMOOTH = 3  # places of a map that are averaged before its peak counts
_ELSEWHERE = 2  # windows of an image in which no class was seen
_AWAY = 0.75  # of a crop's side, from the peak


def first_vectors(looks: Looks) -> NDArray[np.float32]:
    """(N, D) pooled, rooted features of the whole images."""
    parts = [looks.model.rooted(part.features).mean(dim=(2, 3)) for part in looks.parts()]
    vectors: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return vectors


def true_places(features: Tensor, weights: Tensor, share: float) -> Tensor:
    """Boxes (B, 1, 3) at the peaks of maps, features (B, D, h, w) times weights (B, D)."""
    return best_places(_true_maps(features, weights), 1, share)[0]


def _true_maps(features: Tensor, weights: Tensor) -> Tensor:
    """(B, h, w), smoothed."""
    maps = torch.einsum("bdhw,bd->bhw", features, weights)
    return F.avg_pool2d(maps[:, None], _SMOOTH, 1, _SMOOTH // 2, count_include_pad=False)[:, 0]


@dataclass(frozen=True, eq=False)
class Windows:
    """What a finder is solved from.

    Attributes:
        own: (N, D) of each image the window where the first look sees the true class.
        elsewhere: (M, D) windows far from it.
        of: (M,) which image those are of.
    """

    own: NDArray[np.float32]
    elsewhere: NDArray[np.float32]
    of: NDArray[np.int64]

    def solved(self, looks: Looks, kept: NDArray[np.bool_] | None = None) -> Head:
        """The finder, from the windows of some images; of all without ``kept`` (N,)."""
        kept = np.ones(len(looks), dtype=np.bool_) if kept is None else kept
        others = self.elsewhere[kept[self.of]]
        labels = np.zeros((int(kept.sum()) + len(others), looks.num_classes + 1), dtype=np.bool_)
        labels[: int(kept.sum()), :-1] = looks.labels[kept]
        labels[int(kept.sum()) :, -1] = True
        memory = Memory.of(np.concatenate([self.own[kept], others]), labels)
        return solve(memory, "classification", balanced=True)


def collect_windows(looks: Looks, first: Head, share: float) -> Windows:
    """The windows of all images; where the first look sees nothing, its peak is as good as any."""
    weight = torch.from_numpy(first.weight.astype(np.float32))
    draws = np.random.default_rng(0)
    own, elsewhere, of = [], [], []
    for part in looks.parts():
        weights = weight[torch.from_numpy(looks.classes[part.rows])].to(part.features.device)
        maps = _true_maps(looks.model.rooted(part.features), weights)
        peaks = maps.flatten(1).argmax(dim=1).cpu().numpy()
        means = window_means(part.features, share).flatten(2).cpu().numpy()
        for row, peak, values in zip(part.rows, peaks, means, strict=True):
            far = far_places(int(peak), Grid(*maps.shape[-2:]), share)
            chosen = draws.permutation(far)[:_ELSEWHERE]
            own.append(values[:, peak])
            elsewhere.append(values[:, chosen].T)
            of.append(np.full(len(chosen), row))
    return Windows(np.stack(own), np.concatenate(elsewhere), np.concatenate(of))


def far_places(peak: int, grid: Grid, share: float) -> NDArray[np.int64]:
    """Places, by their number, that a crop around ``peak`` has no part of; the corners if none."""
    height, width = grid
    rows, columns = np.divmod(np.arange(height * width), width)
    row, column = divmod(peak, width)
    away = (np.abs(rows - row) > share * height * _AWAY) | (
        np.abs(columns - column) > share * width * _AWAY
    )
    corners = np.array([0, width - 1, (height - 1) * width, height * width - 1])
    return np.flatnonzero(away) if away.any() else corners[corners != peak]
