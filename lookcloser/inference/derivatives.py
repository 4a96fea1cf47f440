"""Where the derivatives of an answer would move the boxes that it looked into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.types import Region
from lookcloser.explain import box_update, normalize

VIEW = "derivative"
LARGEST_GRID = 32  # squares of the drawn map a side


def moved_regions(slopes: Tensor, boxes: Tensor, scales: Sequence[Region]) -> dict[str, Region]:
    """The boxes of an answer on the map of its derivatives, each with its move.

    Args:
        slopes: (H, W) of `lookcloser.explain.derivative`.
        boxes: (S, 4) in [-1, 1], as in `lookcloser.core.Output`.
        scales: The S "scale" regions of these boxes.

    Returns:
        "derivative (scale N)" -> the region of the box, with ``heatmap`` and ``move``. The map is
        averaged over squares, as a few pixels have most of it and could not be seen.
    """
    cells = min(LARGEST_GRID, *slopes.shape)
    heatmap = normalize(F.adaptive_avg_pool2d(slopes[None].float(), cells))[0].cpu().numpy()
    moves = box_moves(slopes, boxes)
    return {
        f"{VIEW} ({region.kind} {(region.step or 0) + 1})": replace(
            region, heatmap=heatmap, move=move
        )
        for region, move in zip(scales, moves, strict=True)
    }


def box_moves(slopes: Tensor, boxes: Tensor) -> list[tuple[float, float, float]]:
    """The direction of `lookcloser.explain.box_update` for each box, of length 1.

    Args:
        slopes: (H, W), nowhere negative.
        boxes: (S, 4) in [-1, 1].

    Returns:
        Per box (x, y, half-side); zeros where no derivative reaches the box.
    """
    low, high = boxes[:, :2].float(), boxes[:, 2:].float()
    half_sides = (high - low).mean(dim=1, keepdim=True) / 2
    maps = -slopes.float().expand(len(boxes), -1, -1)
    # By the largest value first: squares of small derivatives would leave nothing of float32.
    maps = maps / maps.abs().amax().clamp(min=torch.finfo(maps.dtype).tiny)
    updates = box_update(maps, torch.cat(((low + high) / 2, half_sides), dim=1))
    lengths = updates.norm(dim=1, keepdim=True)
    units = torch.where(lengths > 0, updates / lengths, 0.0)
    return [(x, y, size) for x, y, size in units.tolist()]
