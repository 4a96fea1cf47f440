"""Where the derivatives of an answer would move the boxes that it looked into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.types import Region
from lookcloser.explain import box_update, normalize
from lookcloser.explain.context import looking
from lookcloser.layers.boxcar import SHRINK
from lookcloser.losses import pairwise_ranking_loss
from lookcloser.models.base import Model

VIEW = "derivative"
LARGEST_GRID = 32  # squares of the drawn map a side
# The ranking loss has a gradient only while the finer scale is not yet surer by its margin. Two
# probabilities never differ by this much, so that the direction is there to be seen at any time.
_OPEN_MARGIN = 2.0


def moved_regions(slopes: Tensor, boxes: Tensor, scales: Sequence[Region]) -> dict[str, Region]:
    """The boxes of an answer on the map of its score's derivatives, each with its move.

    Args:
        slopes: (H, W) of `lookcloser.explain.derivative`.
        boxes: (S, 4) in [-1, 1], as in `lookcloser.core.Output`.
        scales: The S "scale" regions of these boxes.

    Returns:
        "derivative of the score (scale N)" -> the region of the box, with ``heatmap`` and ``move``.
        The map is averaged over squares, as a few pixels have most of it and could not be seen.
    """
    moves = box_moves(slopes, boxes)
    return {
        f"{VIEW} of the score (scale {_number(region)})": replace(
            region, heatmap=_in_squares(slopes), move=move
        )
        for region, move in zip(scales, moves, strict=True)
    }


def box_moves(slopes: Tensor, boxes: Tensor) -> list[tuple[float, float, float]]:
    """The direction of `lookcloser.explain.box_update` for each box, of length 1.

    With the constant of the authors' release, so that a box may also shrink.

    Args:
        slopes: (H, W), nowhere negative.
        boxes: (S, 4) in [-1, 1].

    Returns:
        Per box (x, y, half-side); zeros where no derivative reaches the box.
    """
    # By the largest value first: squares of small derivatives would leave nothing of float32.
    maps = -_relative(slopes.float()).expand(len(boxes), -1, -1)
    return _units(box_update(maps, _centered(boxes.to(maps.device)), SHRINK))


def ranking_regions(
    model: Model, images: Tensor, boxes: Tensor, target: int, scales: Sequence[Region]
) -> dict[str, Region]:
    """The boxes of an answer, each with the move that lowers the ranking loss of its scale.

    It is what trains a proposal: ``p_coarse - p_fine``, p the probability of the target. The move
    is the loss's own gradient through the bilinear samples, whatever gradient the training took,
    and may be in any direction; the map is the squared norm of its derivative at each pixel.

    Args:
        model: The network.
        images: (1, 3, H, W), normalized.
        boxes: (S, 4) in [-1, 1].
        target: The class.
        scales: The S "scale" regions of these boxes.

    Returns:
        "derivative of the ranking loss (scale N)" -> the region, with ``heatmap`` and ``move``;
        nothing for methods that look once.
    """
    with looking(model, images, gradients=True) as own:
        pixels = own.clone().requires_grad_()
        leaf = _centered(boxes.to(own.device))[None].requires_grad_()
        logits = model.logits_at(pixels, leaf)
        if logits is None:
            return {}
        wanted = torch.tensor([target], device=own.device)
        found = {}
        for number, region in enumerate(scales, start=1):
            coarse, fine = logits[:, number - 1], logits[:, number]
            loss = pairwise_ranking_loss(coarse, fine, wanted, _OPEN_MARGIN)
            at_pixels, at_boxes = torch.autograd.grad(loss, (pixels, leaf), retain_graph=True)
            slopes = _relative(at_pixels[0].float().norm(dim=0)).square()
            found[f"{VIEW} of the ranking loss (scale {_number(region)})"] = replace(
                region, heatmap=_in_squares(slopes), move=_units(-at_boxes[0, number - 1, None])[0]
            )
    return found


def _number(region: Region) -> int:
    """Of a scale, as people count: the whole image is the first."""
    return (region.step or 0) + 1


def _centered(boxes: Tensor) -> Tensor:
    """(S, 4) corners -> (S, 3) center and half-side."""
    low, high = boxes[:, :2].float(), boxes[:, 2:].float()
    return torch.cat(((low + high) / 2, (high - low).mean(dim=1, keepdim=True) / 2), dim=1)


def _relative(slopes: Tensor) -> Tensor:
    return slopes / slopes.amax().clamp(min=torch.finfo(slopes.dtype).tiny)


def _in_squares(slopes: Tensor) -> NDArray[np.float32]:
    cells = min(LARGEST_GRID, *slopes.shape)
    heatmap: NDArray[np.float32] = (
        normalize(F.adaptive_avg_pool2d(slopes[None].float(), cells))[0].cpu().numpy()
    )
    return heatmap


def _units(updates: Tensor) -> list[tuple[float, float, float]]:
    lengths = updates.norm(dim=1, keepdim=True)
    units = torch.where(lengths > 0, updates / lengths, 0.0)
    return [(x, y, size) for x, y, size in units.tolist()]
