"""What a head that was solved in closed form needs in its network."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from lookcloser.closed_form import LIMIT, Memory, Metric, Statistics
from lookcloser.core.errors import LookcloserError

_SMALL = 1e-4  # keeps the derivative of a root at zero finite
_SUREST = 20.0  # nats that the best class may be above the mean of all where nothing else limits it
_METRIC = ("center", "directions", "gains", "level", "offsets")
_STATISTICS = ("per_label", "label_sums", "total", "moment")


class RootedChannels(nn.Module):
    """Features (B, D, h, w) whose mean over places is the root of what it was.

    Each channel of an image is divided by the root of |m| + 10⁻⁴, m being its mean: the mean of the
    result is nearly the signed root of m. A linear head on it is better than on m, as a few strong
    channels no longer outvote the others, and its class maps stay exact: the root is in how much a
    channel counts in this image, not in what a place says.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) -> the same shape."""
        return features / _scale(features.mean(dim=(2, 3), keepdim=True))


def rooted(means: Tensor) -> Tensor:
    """What the means of `RootedChannels` are of features with these means: nearly signed roots."""
    return means / _scale(means)


def _scale(means: Tensor) -> Tensor:
    return (means.abs() + _SMALL).sqrt()


def learnable(logits: Tensor, temperature: float, smoothing: float = 0.0) -> float:
    """The temperature for a solved head that is to learn on.

    It is far surer of the images that it was solved from than of others. Where all were right by
    far, the temperature that fits them best is next to 0, and the first wrong answer would be off
    by millions of nats. And where it is surer than label smoothing wants it, the first thing to be
    learned would be to say less: at a small rate of the head, by spoiling the backbone.

    Args:
        logits: (N, C) of the head, at no temperature, for the images it was solved from.
        temperature: Its own.
        smoothing: Label smoothing of the training, in [0, 1).
    """
    classes = logits.shape[1]
    surest = _SUREST
    if smoothing > 0:
        best = math.log1p(classes * (1 - smoothing) / smoothing)  # above each other class
        surest = min(surest, best * (classes - 1) / classes)
    above = float((logits.amax(dim=1) - logits.mean(dim=1)).mean())
    return max(temperature, above / surest)


class Solution(nn.Module):
    """Distances of images to what a closed-form head was solved from, and its memory of that.

    Everything is in buffers, so that it is saved and loaded with the weights.

    Args:
        num_classes: C.
        width: D.
        kept: The number of images whose features are kept, see `Memory`.
        rank: R of the `Metric`; 0 where there is none, as of tags.
        summed: Whether there are more images than the kept ones, and sums over all of them.

    Raises:
        LookcloserError: For sizes that no solution has.
    """

    def __init__(
        self, num_classes: int, width: int, kept: int, rank: int = 0, summed: bool = False
    ) -> None:
        super().__init__()
        if not (0 <= kept <= LIMIT and 0 <= rank <= width):
            raise LookcloserError(
                f"kept {kept}, rank {rank}: sizes that no closed form has",
                fix="The file was changed after saving; take the original",
            )
        self.rank, self.summed = rank, summed
        self.register_buffer("features", torch.zeros(kept, width))
        self.register_buffer("labels", torch.zeros(kept, num_classes, dtype=torch.bool))
        if rank:
            self.register_buffer("center", torch.zeros(width))
            self.register_buffer("directions", torch.zeros(rank, width))
            self.register_buffer("gains", torch.zeros(rank))
            self.register_buffer("level", torch.ones(()))
            self.register_buffer("offsets", torch.zeros(num_classes))
        if summed:
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))
            self.register_buffer("per_label", torch.zeros(num_classes, dtype=torch.float64))
            sums = torch.zeros(num_classes, width, dtype=torch.float64)
            self.register_buffer("label_sums", sums)
            self.register_buffer("total", torch.zeros(width, dtype=torch.float64))
            self.register_buffer("moment", torch.zeros(width, width, dtype=torch.float64))

    @staticmethod
    def sizes(memory: Memory, metric: Metric | None) -> dict[str, int | bool]:
        """The arguments for a memory and a metric."""
        return {
            "kept": len(memory.features),
            "rank": 0 if metric is None else len(metric.gains),
            "summed": memory.statistics is not None,
        }

    def fill(self, memory: Memory, metric: Metric | None) -> None:
        """Take over a memory and a metric of these sizes."""
        given = {"features": memory.features, "labels": memory.labels}
        if metric is not None:
            given |= {name: getattr(metric, name) for name in _METRIC}
        if memory.statistics is not None:
            given |= {name: getattr(memory.statistics, name) for name in (*_STATISTICS, "count")}
        for name, value in given.items():
            self.get_buffer(name).copy_(torch.from_numpy(np.array(value)))

    def memory(self) -> Memory:
        """The memory, for more images to be added to."""
        statistics = None
        if self.summed:
            values = {name: self.get_buffer(name).cpu().numpy() for name in _STATISTICS}
            statistics = Statistics(count=int(self.get_buffer("count")), **values)
        features, labels = (self.get_buffer(name).cpu().numpy() for name in ("features", "labels"))
        return Memory(features, labels, statistics)

    def distances(self, pooled: Tensor, logits: Tensor) -> Tensor | None:
        """As `Metric.distances`: pooled features (B, D) and logits (B, C) -> (B,)."""
        if not self.rank:
            return None
        center, directions, gains, level, offsets = map(self.get_buffer, _METRIC)
        rows = pooled.to(center.dtype) - center
        squares = rows.square().sum(dim=1) / level + (rows @ directions.T).square() @ gains
        nearest = (logits.to(center.dtype) - offsets).amax(dim=1)
        return (squares - 2 * nearest).clamp(min=0)
