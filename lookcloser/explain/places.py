"""Which numbers of a layer's output belong to which place of the image, found by trying.

A shape does not tell: attention matrices, class queries, time steps and windows have the shapes of
maps. What tells is locality: noise in a quarter of the image moves the places of that quarter most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from lookcloser.core.sizes import Grid

# Correlation of where a place reacts with where it should be, along each axis. Random and trained
# networks of 40 families have 0.76 to 0.99; a map read with wrong rows has 0.47 at most.
LOCAL, SURE = 0.5, 0.75
_AS_GOOD = 0.05  # a difference in correlation that says nothing
# How much less one axis may react than the other: time steps are places along one axis only. Maps
# with rows and columns of their own have no such doubt: 0.09 in a random EfficientNet on 96×160.
_BALANCE, _BALANCE_OF_MAPS = 0.25, 0.05
MOST_OTHERS = 8  # tokens beside the grid, such as class and register tokens


@dataclass(frozen=True)
class Layout:
    """How a layer's output is read as a map.

    Attributes:
        shape: Of one image's output, without the batch.
        order: The permutation that makes it (B, D, rows, columns), or (B, D, tokens).
        grid: Of tokens; None where the output has rows and columns of its own.
        first: Tokens before the grid.
        turned: Whether the map lies in the output with its columns as rows.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    grid: Grid | None = None
    first: int = 0
    turned: bool = False

    @property
    def width(self) -> int:
        """D, the number of features of a place."""
        return self._sizes()[1]

    @property
    def size(self) -> Grid:
        """Rows and columns of the map."""
        if self.grid is not None:
            return self.grid
        *_, rows, columns = self._sizes()
        return Grid(columns, rows) if self.turned else Grid(rows, columns)

    @property
    def others(self) -> int:
        """Tokens that are no places."""
        return 0 if self.grid is None else self._sizes()[2] - self.grid[0] * self.grid[1]

    def fits(self, output: Any, batch: int) -> bool:
        """Whether ``output`` is one of a batch of so many images, in this layout."""
        if not isinstance(output, Tensor) or output.ndim != len(self.order):
            return False
        place = self.order[0]
        return output.shape[place] == batch and _without(output.shape, place) == self.shape

    def places(self, output: Tensor) -> Tensor:
        """The output as (B, D, rows, columns)."""
        return self.arranged(output.permute(self.order))

    def arranged(self, values: Tensor) -> Tensor:
        """(B, D, rows, columns) from (B, D, tokens), or from rows and columns as they lie."""
        if self.grid is None:
            return values.mT if self.turned else values
        rows, columns = self.grid
        tokens = values[:, :, self.first : self.first + rows * columns]
        if self.turned:
            return tokens.reshape(*tokens.shape[:2], columns, rows).mT
        return tokens.reshape(*tokens.shape[:2], rows, columns)

    def _sizes(self) -> tuple[int, ...]:
        whole = [*self.shape]
        whole.insert(self.order[0], 1)
        return tuple(whole[axis] for axis in self.order)


def probes(image: Tensor) -> Tensor:
    """An image (1, C, H, W) as it is, and with noise in each of its quarters: (5, C, H, W)."""
    height, width = image.shape[-2:]
    noise = noise_like(image)
    copies = image.repeat(5, 1, 1, 1)
    upper, lower = slice(None, height // 2), slice(height // 2, None)
    left, right = slice(None, width // 2), slice(width // 2, None)
    quarters = ((upper, left), (upper, right), (lower, left), (lower, right))
    for number, (rows, columns) in enumerate(quarters, start=1):
        copies[number, :, rows, columns] += noise[0, :, rows, columns]
    return copies


def noise_like(image: Tensor) -> Tensor:
    """Noise (1, C, H, W) as strong as the contrast of an image, in blocks that outlive pooling."""
    height, width = image.shape[-2:]
    generator = torch.Generator().manual_seed(0)
    side = max(1, min(height, width) // 8)
    coarse = (1, image.shape[1], -(-height // side), -(-width // side))
    noise = torch.randn(coarse, generator=generator)
    noise = noise.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width]
    spread = image.float().std(correction=0).item() or 1.0
    return (spread * noise).to(image)


def may_have_places(output: Any, batch: int) -> bool:
    """Whether a layer's output can be a map at all, by its dimensions."""
    if not isinstance(output, Tensor) or output.ndim not in (3, 4) or output.numel() == 0:
        return False
    return batch in output.shape[:2] and (output.is_floating_point() or output.is_quantized)


def find_layout(output: Tensor, size: Grid, width: int | None = None) -> Layout | None:
    """The layout in which a layer's output for `probes` reacts where the image was changed.

    Args:
        output: What the layer put out for the five images.
        size: Of the image.
        width: D, where only layouts with so many features are wanted.
    """
    readings = [
        (values, layouts)
        for values, layouts in _readings(output, size, batch=5)
        if width is None or layouts[0].width == width
    ]
    directions = [(_directions(values), layouts) for values, layouts in readings]
    scored: list[tuple[float, Layout]] = []
    for alike in (True, False):  # the ratio of the image is likelier, and there are few such grids
        scored += [
            (_locality(layout, *towards), layout)
            for towards, layouts in directions
            for layout in layouts
            if _alike(layout.size, size) == alike and (alike or layout.others <= 1)
        ]
        scored = [(score, layout) for score, layout in scored if score >= _bar(layout)]
        best = max((score for score, _ in scored), default=0.0)
        if best >= SURE:
            break
    close = [layout for score, layout in scored if score >= best - _AS_GOOD]
    return min(close, key=lambda layout: layout.others, default=None)


def _bar(layout: Layout) -> float:
    """The least locality; of a few places chance would reach less."""
    rows, columns = layout.size
    return LOCAL if rows * columns > 16 else SURE


def likely_layout(output: Tensor, size: Grid, batch: int) -> Layout | None:
    """The layout by shape alone, with the ratio of the image, for a layer that the user named."""
    found = [
        layout
        for _, layouts in _readings(output, size, batch)
        for layout in layouts
        if not layout.turned
    ]
    alike = [layout for layout in found if _alike(layout.size, size)]
    plain = [layout for layout in found if layout.order == (0, 1, 2, 3)]
    return min(alike or plain[:1], key=lambda layout: layout.others, default=None)


def _readings(output: Tensor, size: Grid, batch: int) -> Iterator[tuple[Tensor, list[Layout]]]:
    """Ways to read an output as (B, D, places ...), each with its layouts; the usual ones first."""
    for images in range(2 if output.ndim == 3 else 1):
        if output.shape[images] != batch:
            continue
        shape = _without(output.shape, images)
        rest = [axis for axis in range(output.ndim) if axis != images]
        # Maps have their features first, tokens have them last.
        for features in (rest[0], *reversed(rest[1:])) if output.ndim == 4 else reversed(rest):
            order = (images, features, *(axis for axis in rest if axis != features))
            if output.ndim == 4:
                both = (Layout(shape, order), Layout(shape, order, turned=True))
                layouts = [layout for layout in both if _is_grid(layout.size, size)]
            else:
                layouts = list(_token_layouts(shape, order, output.shape[order[2]], size))
            if layouts:
                yield output.permute(order), layouts


def _token_layouts(
    shape: tuple[int, ...], order: tuple[int, ...], count: int, size: Grid
) -> Iterator[Layout]:
    """Grids of tokens with some tokens before or after them."""
    for others in range(min(MOST_OTHERS, count - 4) + 1):
        places = count - others
        short = [side for side in range(1, isqrt(places) + 1) if places % side == 0]
        for rows in {*short, *(places // side for side in short)}:
            grid = Grid(rows, places // rows)
            if not _is_grid(grid, size):
                continue
            for first in {others, 0}:
                for turned in (False, True):
                    yield Layout(shape, order, grid, first, turned)


def _is_grid(grid: Grid, size: Grid) -> bool:
    """At least 2 × 2, or one row or column of an image that is as long."""
    rows, columns = grid
    if min(rows, columns) > 1:
        return rows <= size[0] and columns <= size[1]
    return rows * columns > 1 and _alike(grid, size)


def _alike(grid: Grid, size: Grid) -> bool:
    """Whether a grid has the ratio of an image of ``size``, up to a cell at the borders."""
    rows, columns = grid
    return abs(rows * size[1] - columns * size[0]) <= max(size)


def _directions(values: Tensor) -> tuple[Tensor, Tensor]:
    """Where each place of (5, D, places ...) reacts from, in [-1, 1]: down and across."""
    values = (values.dequantize() if values.is_quantized else values).float()
    moved = torch.linalg.vector_norm(values[1:] - values[:1], dim=1)  # by each of the quarters
    whole = moved.sum(dim=0)
    shares = torch.where(whole > 0, moved / whole.where(whole > 0, 1.0), 0.25)
    upper_left, upper_right, lower_left, lower_right = shares
    down = lower_left + lower_right - upper_left - upper_right
    across = upper_right + lower_right - upper_left - lower_left
    return down[None, None], across[None, None]


def _locality(layout: Layout, down: Tensor, across: Tensor) -> float:
    """The lower of two correlations, of the rows with "down" and of the columns with "across"."""
    found, strengths = [], []
    for side, values in enumerate((down, across)):
        own = layout.arranged(values)[0, 0]
        own = (own if side == 0 else own.T).cpu()  # the axis in question first
        if len(own) > 1:
            own = own - own.mean()
            along = torch.arange(len(own), dtype=own.dtype)[:, None] - (len(own) - 1) / 2
            spread, reach = float(own.norm()), float(along.norm()) * own.shape[1] ** 0.5
            # Rounding makes noise of places that all react alike.
            reacts = spread > 1e-4 * own.numel() ** 0.5
            together = float((own * along).sum()) / reach if reacts else 0.0
            found.append(together / spread if together else 0.0)
            strengths.append(together)
    plain = layout.order == (0, 1, 2, 3) and not layout.turned
    balanced = min(strengths) >= (_BALANCE_OF_MAPS if plain else _BALANCE) * max(strengths)
    return min(found) if balanced else 0.0


def _without(shape: torch.Size, axis: int) -> tuple[int, ...]:
    return tuple(size for number, size in enumerate(shape) if number != axis)
