"""The class maps of all scales on one canvas: the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.sizes import Grid
from lookcloser.layers.boxcar import pixel_centers


def on_one_canvas(maps: Sequence[Tensor], boxes: Sequence[Tensor], size: Grid) -> Tensor:
    """The sum of maps that each cover a box of the image, per unit of the image's area.

    A map of a small box is made denser by as much as its area is smaller, so that the mean over
    the canvas is the sum of the means of the maps, up to interpolation. Outside its box a map has
    no say.

    Args:
        maps: Per scale (B, K, h, w).
        boxes: Per scale (B, 3), ``(cx, cy, half-side)`` in [-1, 1] of the image.
        size: Of the canvas.

    Returns:
        (B, K, height, width).
    """
    placed = [_placed(own, box, size) for own, box in zip(maps, boxes, strict=True)]
    return torch.stack(placed).sum(dim=0)


def _placed(maps: Tensor, boxes: Tensor, size: Grid) -> Tensor:
    boxes = boxes.to(maps.dtype)
    half_side = boxes[:, 2:]
    xs = (pixel_centers(size[1], boxes) - boxes[:, 0:1]) / half_side
    ys = (pixel_centers(size[0], boxes) - boxes[:, 1:2]) / half_side
    columns, rows = xs[:, None, :].expand(-1, size[0], -1), ys[:, :, None].expand(-1, -1, size[1])
    grid = torch.stack((columns, rows), dim=-1)
    within = grid.abs() <= 1
    # Not `all`: readers of exported files do not know the shape of such a reduction.
    inside = (within[..., 0] & within[..., 1])[:, None]
    found = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return found * inside / half_side.square()[..., None, None]
