"""Batches across processes, for losses that compare the images of a batch with each other."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.nn import functional as F


def gather_across_ranks(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The features and labels of all processes, so that each has the others' negatives.

    Every process must compute the same loss of the result. Then the gradients that
    DistributedDataParallel averages are those of that loss over the whole batch: the gradient of a
    process's own features is scaled by the number of processes, and no second exchange is needed.
    Outside a process group nothing changes.

    Args:
        features: (B, ...); B may differ between the processes, the rest may not.
        labels: (B,).

    Returns:
        The same with the batches of all processes, in the order of their ranks.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return features, labels
    world, rank = distributed.get_world_size(), distributed.get_rank()
    sizes = _exchange(torch.tensor([len(labels)], device=labels.device), world)
    longest = max(int(size) for size in sizes)

    def collect(batch: Tensor) -> list[Tensor]:
        padding = (0, 0) * (batch.ndim - 1) + (0, longest - len(batch))
        parts = _exchange(F.pad(batch.detach(), padding).contiguous(), world)
        return [part[: int(size)] for part, size in zip(parts, sizes, strict=True)]

    gathered = collect(features)
    gathered[rank] = features + (world - 1) * (features - features.detach())
    return torch.cat(gathered), torch.cat(collect(labels))


def _exchange(tensor: Tensor, world: int) -> list[Tensor]:
    parts = [torch.empty_like(tensor) for _ in range(world)]
    distributed.all_gather(parts, tensor)
    return parts
