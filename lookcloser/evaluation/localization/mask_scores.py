"""Scores of maps against masks of the object, read one by one and for scoring only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser import metrics
from lookcloser.core.errors import LookcloserError
from lookcloser.core.results.scores import BASELINES, CENTER_BOX, RANDOM_MAP, Score
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.data import Sample
from lookcloser.data.masks import IGNORED, MASKS, find_masks, open_mask
from lookcloser.evaluation.localization.map_boxes import RANDOM_SEED
from lookcloser.runtime.regions import upsample


def read_mask(file: Path, size: ImageSize, grid: Grid) -> NDArray[np.uint8]:
    """The mask of an image of ``size`` at ``grid``, nearest pixel.

    Returns:
        (H, W): 0 for the background, 1 for the object, `IGNORED` for what does not count. In the
        file every value between 1 and 254 is the object.

    Raises:
        LookcloserError: For a file that cannot be read, one with colors, and one of another size.
    """
    image = open_mask(file, size)
    values = np.asarray(image.resize(grid.image_size, Image.Resampling.NEAREST)).astype(int)
    return np.where(values == IGNORED, IGNORED, values > 0).astype(np.uint8)


class MaskTally:
    """PxAP of maps that come batch by batch, of centered maps, and of random ones.

    A mask that cannot be used does not end the work: its image is left out, and the file is named.

    Args:
        root: Of the data set; masks are found as `find_masks` does.
        grid: That of the network's input, at which pixels are compared.
    """

    def __init__(self, root: Path, grid: Grid) -> None:
        self.root, self.grid, self.count = root, grid, 0
        self._unusable: list[str] = []
        self._own, self._noise = metrics.PxAP(), np.random.default_rng(RANDOM_SEED)
        self._guesses = {name: metrics.PxAP() for name in BASELINES}

    def add(
        self, maps: NDArray[np.float32], samples: Sequence[Sample], sizes: Sequence[ImageSize]
    ) -> None:
        """Count the images of a batch that have a mask.

        Args:
            maps: (B, h, w) of the true classes, raw.
            samples: The B images.
            sizes: Of each.
        """
        masks = {}
        for row, file in find_masks(self.root, samples).items():
            try:
                masks[row] = read_mask(file, sizes[row], self.grid)
            except LookcloserError as error:
                self._unusable.append(str(error))
        if not masks:
            return
        rows, truth = list(masks), np.stack(list(masks.values()))
        noise = self._noise.random((len(rows), *maps.shape[1:]), dtype=np.float32)
        center = metrics.center_maps(len(rows), self.grid.image_size)
        self._own.update(upsample(maps[rows], self.grid), truth)
        self._guesses[CENTER_BOX].update(center, truth)
        self._guesses[RANDOM_MAP].update(upsample(noise, self.grid), truth)
        self.count += len(rows)

    def settings(self) -> dict[str, str]:
        """How many masks were used, and what is wrong with the first that was not."""
        found = {}
        if self.count:
            found["masks"] = f"{self.count}, of the true class, for scoring only"
        if self._unusable:
            found["masks left out"] = f"{len(self._unusable)}, the first is {self._unusable[0]}"
        return found

    def scores(self) -> tuple[Score, ...]:
        """The score "PxAP", where any image had a mask.

        Raises:
            LookcloserError: For masks without any object.
        """
        if not self.count:
            return ()
        try:
            guesses = {name: scorer.compute() for name, scorer in self._guesses.items()}
            value = self._own.compute()
        except LookcloserError as error:
            raise LookcloserError(
                f"{self.root / MASKS}: no mask has a pixel of an object",
                allowed=f"0 is background, {IGNORED} is ignored, every other value is the object",
            ) from error
        return (Score("PxAP", value, None, guesses, higher_is_better=True, of_evidence=True),)
