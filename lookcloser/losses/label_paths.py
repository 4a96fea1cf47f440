"""Label sets as paths: the loss of a path, and the order in which a set is best written.

A path holds the labels of an image in the order in which they are named, (B, T), padded with -1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookcloser.core import LookcloserError


def label_path_loss(log_probs: Tensor, paths: Tensor, end: int) -> Tensor:
    """Negative log-likelihood of the paths, END included, in nats (Wang et al., CVPR 2016).

    Args:
        log_probs: (B, T + 1, V) of each step; what comes after the END of a path does not count.
        paths: (B, T).
        end: The index of END among the V.

    Returns:
        A scalar: the sum over steps, its mean over images.
    """
    rows = torch.arange(len(paths), device=paths.device)
    steps = torch.cat([paths, paths.new_full((len(paths), 1), -1)], dim=1)
    steps[rows, (paths >= 0).sum(dim=1)] = end
    chosen = log_probs.gather(2, steps.clamp(min=0)[..., None])[..., 0]
    return -chosen.masked_fill(steps < 0, 0.0).sum(dim=1).mean()


def ordered_paths(targets: Tensor, ranks: Tensor) -> Tensor:
    """The labels of each set by rank, lowest first, of equal ones the first.

    Args:
        targets: (B, C), above 0 for a label of the image.
        ranks: (C,) or (B, C), finite.

    Returns:
        Paths (B, T), T the size of the largest set, at least 1.
    """
    present = targets > 0
    keys = ranks.expand(targets.shape).masked_fill(~present, torch.inf)
    order = keys.argsort(dim=1, stable=True)
    sizes = present.sum(dim=1)
    longest = max(int(sizes.max()), 1)
    places = torch.arange(longest, device=targets.device)
    return order[:, :longest].masked_fill(places >= sizes[:, None], -1)


def label_sets(paths: Tensor, num_labels: int) -> Tensor:
    """(B, num_labels) bool, True for the labels of each path (B, T): the reverse of ordering."""
    sets = torch.zeros(len(paths), num_labels + 1, dtype=torch.bool, device=paths.device)
    # The padding goes to a column of its own.
    return sets.scatter(1, paths.masked_fill(paths < 0, num_labels), True)[:, :num_labels]


def minimal_loss_alignment(log_probs: Tensor, targets: Tensor) -> Tensor:
    """The order of each set that costs least at the given steps.

    Minimal loss alignment (Yazici et al., CVPR 2020): of all ways to give each label of the image
    a step of its own among the first, as many as there are labels, the one of least
    ``-Σ log p_t(label)`` (Hungarian algorithm on each image's own block, one transfer to the CPU
    for all).

    Args:
        log_probs: (B, T, V) with T at least the size of the largest set, V at least C.
        targets: (B, C), above 0 for a label of the image.

    Returns:
        Paths (B, T), without gradient.

    Raises:
        LookcloserError: If there are too few steps.
    """
    return _aligned(log_probs, targets, None)


def predicted_label_alignment(log_probs: Tensor, targets: Tensor, predicted: Tensor) -> Tensor:
    """As `minimal_loss_alignment`, but a label that was predicted rightly keeps its step.

    Predicted label alignment (Yazici et al., CVPR 2020): the network is never told to name
    something else where it named a true label.

    Args:
        log_probs: As `minimal_loss_alignment`.
        targets: As `minimal_loss_alignment`.
        predicted: (B, T) the label named at each step, none twice in a row of the batch, padded
            with -1 where none was; those after the size of the set do not count.
    """
    return _aligned(log_probs, targets, predicted)


def _aligned(log_probs: Tensor, targets: Tensor, predicted: Tensor | None) -> Tensor:
    sizes = (targets > 0).sum(dim=1)
    if int(sizes.max()) > log_probs.shape[1]:
        raise LookcloserError(
            f"{log_probs.shape[1]} steps for sets of up to {int(sizes.max())} labels",
            allowed="A step for each label of the largest set",
        )
    costs = -log_probs[..., : targets.shape[1]].detach().float().cpu().numpy()
    present = (targets > 0).cpu().numpy()
    named = None if predicted is None else predicted.cpu().numpy()
    paths = np.full(costs.shape[:2], -1, dtype=np.int64)
    for row, steps, labels in _assignments(costs, present, named):
        paths[row, steps] = labels
    return torch.from_numpy(paths).to(targets.device)


def _assignments(
    costs: NDArray[np.float32], present: NDArray[np.bool_], named: NDArray[np.int64] | None
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """(image, steps, labels): what stands at which step."""
    from scipy.optimize import linear_sum_assignment

    for row, own in enumerate(present):
        labels = np.flatnonzero(own)
        steps = np.arange(len(labels))
        if named is not None:
            proposed = named[row, : len(labels)]
            right = np.isin(proposed, labels)
            kept = proposed[right]
            yield row, steps[right], kept
            labels, steps = np.setdiff1d(labels, kept), steps[~right]
        # A step may rule a label out; such a cost must stay a number.
        block = np.nan_to_num(costs[row][np.ix_(steps, labels)], posinf=1e9)
        chosen, order = linear_sum_assignment(block)
        yield row, steps[chosen], labels[order]
