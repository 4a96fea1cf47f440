"""In which order training writes a label set."""

from __future__ import annotations

import torch
from torch import Tensor

from lookcloser.losses import (
    minimal_loss_alignment,
    ordered_paths,
    predicted_label_alignment,
)
from lookcloser.models.cnnrnn.options import LabelOrder
from lookcloser.models.cnnrnn.paths import LabelPaths


def label_ranks(order: LabelOrder, counts: Tensor) -> Tensor:
    """The ranks (C,) of the orders that stay as they are, from training counts (C,)."""
    if order == "fixed":
        return torch.randperm(len(counts), generator=torch.Generator().manual_seed(0)).float()
    return counts if order == "rare" else -counts


def training_paths(
    order: LabelOrder, ranks: Tensor, network: LabelPaths, image: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """What the network is fed, and what it is told to answer.

    Args:
        order: See `CNNRNN`.
        ranks: (C,) of `label_ranks`.
        network: Whose own choices count for "easy" and for the orders that align.
        image: (B, E).
        targets: (B, C), above 0 for a label of the image.

    Returns:
        Log-probabilities (B, T + 1, C + 1) along the fed paths, and the wanted paths (B, T).
    """
    present = targets > 0
    if order in ("minimal", "predicted"):
        largest = int(present.sum(dim=1).max())
        fed = network.follow(image, torch.ones_like(present))[:, :largest]
        log_probs = network.log_probs(network.project(image, fed))
        if order == "minimal":
            return log_probs, minimal_loss_alignment(log_probs[:, :-1], present)
        return log_probs, predicted_label_alignment(log_probs[:, :-1], present, fed)
    if order == "easy":
        wanted = network.follow(image, present)
    else:
        shuffled = order == "shuffled"
        keys = torch.rand(targets.shape, device=targets.device) if shuffled else ranks
        wanted = ordered_paths(present, keys)
    return network.log_probs(network.project(image, wanted)), wanted
