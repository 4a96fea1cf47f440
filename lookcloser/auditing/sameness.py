"""What stays the same from image to image of a class, and not in the images of others.

Watermarks, logos and borders are the same pixels in every image; things never are. Two measures
see them without any network: the alikeness of fine detail, place by place, and the spread of the
mean color.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser.auditing.shares import Floats
from lookcloser.core.sizes import Grid

CELLS = 8  # places along each side
_SIDE = 128  # pixels at which detail is compared at most
_RARE = 5  # deviations
_SMOOTH = 5  # pixels over which detail is not detail any more
_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


class Sameness:
    """Collects images of all classes, a batch at a time.

    Args:
        classes: C.
        size: Of the network's input.
    """

    def __init__(self, classes: int, size: Grid) -> None:
        shrink = min(1.0, _SIDE / max(size))
        self._cell = tuple(max(2, round(side * shrink / CELLS)) for side in size)
        height, width = (CELLS * cell for cell in self._cell)
        self._sums = torch.zeros(classes, height, width)
        self._squares = torch.zeros(classes, CELLS, CELLS)
        self._counts = torch.zeros(classes)
        self._colors: list[Tensor] = []
        self._classes: list[Tensor] = []

    def add(self, images: Tensor, classes: Tensor) -> None:
        """Take images (B, 3, H, W), normalized in any way, of classes (B,)."""
        images, classes = images.float().cpu(), classes.cpu()
        detail = self._details(images)
        self._sums.index_add_(0, classes, detail)
        self._squares.index_add_(0, classes, self._per_cell(detail**2))
        self._counts.index_add_(0, classes, torch.ones(len(classes)))
        self._colors.append(F.adaptive_avg_pool2d(images, CELLS))
        self._classes.append(classes)

    def detail(self) -> Floats:
        """(C, CELLS, CELLS) how alike the fine detail of a class is, beyond its likeness to others.

        Per cell the mean correlation of the detail of two images of the class, less that of one
        of the class and one of another: 0 for images that have nothing to do with each other, 1
        where all are the same. What all classes share, such as the traces of JPEG, cancels.
        """
        n = self._counts[:, None, None]
        everything = self._sums.sum(dim=0)
        squared = self._per_cell(self._sums**2)
        within = (squared - self._squares) / (n * (n - 1)).clamp(min=1)
        others = self._per_cell(self._sums * (everything - self._sums))
        between = others / (n * (n.sum() - n)).clamp(min=1)
        # Images that are the opposite of the others would be more than the same.
        found: Floats = (within - between).clamp(max=1.0).double().numpy()
        return found

    def chance(self) -> Floats:
        """(C,) what `detail` hardly exceeds by chance: `_RARE` of its own robust deviations.

        Most places of most classes have nothing in common, and show how far chance goes; it goes
        as 1 over the number of images.
        """
        n = self._counts.double().numpy()
        seen = n >= 2
        scaled = self.detail()[seen] * n[seen, None, None]
        deviation = 1.4826 * np.median(np.abs(scaled)) if seen.any() else 0.0
        chance: Floats = _RARE * deviation / np.maximum(n, 1)
        return chance

    def color(self) -> Floats:
        """(C, CELLS, CELLS) how much less the mean color varies than in the classes on average.

        0 where it varies as in the median class, 1 where it does not vary; below 0 where it varies
        more. Variation is the median distance to the class's median color, so that a few images
        without the shortcut do not hide it.
        """
        colors, classes = torch.cat(self._colors).numpy(), torch.cat(self._classes).numpy()
        spreads = np.full((len(self._counts), CELLS, CELLS), np.nan)
        for index in np.unique(classes):
            own = colors[classes == index]
            away = np.linalg.norm(own - np.median(own, axis=0), axis=1)
            spreads[index] = np.median(away, axis=0)
        usual = np.nanmedian(spreads, axis=0)
        alike: Floats = 1 - np.divide(spreads, usual, out=np.ones_like(spreads), where=usual > 0)
        return np.nan_to_num(alike, nan=0.0)

    def _details(self, images: Tensor) -> Tensor:
        """(B, h, w) gray detail; in each cell of length 1, or 0 where there is none."""
        weights = images.new_tensor([_RED, _GREEN, _BLUE])
        gray = torch.einsum("bchw,c->bhw", images, weights)[:, None]
        shape = self._sums.shape[1:]
        if gray.shape[2:] != shape:
            gray = F.interpolate(gray, shape, mode="bilinear", antialias=True)
        reach = _SMOOTH // 2
        smooth = F.avg_pool2d(F.pad(gray, (reach,) * 4, mode="reflect"), _SMOOTH, stride=1)
        detail = (gray - smooth)[:, 0]
        length = self._per_cell(detail**2).sqrt()
        unit = torch.where(length > 1e-6, 1 / length.clamp(min=1e-6), 0.0)
        height, width = self._cell
        return detail * unit.repeat_interleave(height, 1).repeat_interleave(width, 2)

    def _per_cell(self, values: Tensor) -> Tensor:
        """(N, h, w) -> sums (N, CELLS, CELLS)."""
        height, width = self._cell
        blocks = values.reshape(len(values), CELLS, height, CELLS, width)
        return blocks.sum(dim=(2, 4))


def ring() -> NDArray[np.bool_]:
    """(CELLS, CELLS) the cells at the border, where a thing seldom is but its surroundings are."""
    cells = np.zeros((CELLS, CELLS), dtype=bool)
    cells[[0, -1]] = cells[:, [0, -1]] = True
    return cells
