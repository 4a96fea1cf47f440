"""Scores of maps against masks of the object, read one by one and for scoring only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser import metrics
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import open_image
from lookcloser.data import Sample
from lookcloser.data.readers.folders import MASKS
from lookcloser.evaluation.localization import RANDOM_SEED
from lookcloser.runtime.regions import Size, upsample

IGNORED = 255  # a pixel of neither
_GREY = ("1", "L", "P", "I", "I;16")
_CHUNK = 64  # maps at once


def find_masks(root: Path, samples: Sequence[Sample]) -> dict[int, Path]:
    """The mask of each image that has one: ``masks/NAME.png`` below ``root``, by its row."""
    if not (root / MASKS).is_dir():
        return {}
    files = {
        row: root / MASKS / PurePosixPath(sample.name).with_suffix(".png")
        for row, sample in enumerate(samples)
    }
    return {row: file for row, file in files.items() if file.is_file()}


def read_mask(file: Path, size: Size, grid: Size) -> NDArray[np.uint8]:
    """The mask of an image of ``size`` (width, height) at ``grid`` (height, width), nearest pixel.

    Returns:
        (H, W): 0 for the background, 1 for the object, `IGNORED` for what does not count. In the
        file every value between 1 and 254 is the object.

    Raises:
        LookcloserError: For a file that cannot be read, one with colours, and one of another size.
    """
    with open_image(file) as opened:
        image = opened.copy()
    if image.mode not in _GREY:
        raise LookcloserError(
            f"{file}: a picture of mode {image.mode}",
            allowed=f"One value a pixel: 0 for background, {IGNORED} for ignored, else the object",
        )
    if image.size != size:
        raise LookcloserError(f"{file}: {image.size} pixels", allowed=f"{size}, as its image")
    values = np.asarray(image.resize((grid[1], grid[0]), Image.Resampling.NEAREST)).astype(int)
    return np.where(values == IGNORED, IGNORED, values > 0).astype(np.uint8)


def score_masks(
    maps: NDArray[np.float32],
    files: Mapping[int, Path],
    sizes: Sequence[Size],
    grid: Size,
) -> dict[str, float]:
    """PxAP of the maps that have a mask, of centred maps, and of random ones.

    Args:
        maps: (N, h, w) of the true classes, raw.
        files: By row of ``maps``, as from `find_masks`; at least one.
        sizes: (width, height) of the N images.
        grid: (height, width) at which pixels are compared, the network's input.

    Raises:
        LookcloserError: As `read_mask`, and for masks without any object.
    """
    height, width = maps.shape[1:]
    rows = np.array(sorted(files))
    centre = metrics.centre_maps(len(rows), (grid[1], grid[0]))
    noise = metrics.random_maps(len(rows), (width, height), RANDOM_SEED)
    scorers = {name: metrics.PxAP() for name in ("PxAP", "PxAP centre box", "PxAP random map")}
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        truth = np.stack([read_mask(files[row], sizes[row], grid) for row in rows[part].tolist()])
        compared = (upsample(maps[rows[part]], grid), centre[part], upsample(noise[part], grid))
        for scorer, values in zip(scorers.values(), compared, strict=True):
            scorer.update(values, truth)
    try:
        return {name: scorer.compute() for name, scorer in scorers.items()}
    except LookcloserError as error:
        raise LookcloserError(
            f"{files[int(rows[0])].parent}: no mask has a pixel of an object",
            allowed=f"0 is background, {IGNORED} is ignored, every other value is the object",
        ) from error
