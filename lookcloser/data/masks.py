"""Masks of objects beside the images of a data set: ``masks/NAME.png``, for scoring only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import open_image
from lookcloser.core.sizes import ImageSize
from lookcloser.data.catalog import Sample

MASKS = "masks"  # a folder that repeats the others, with a mask for each image
IGNORED = 255  # a pixel of neither background nor object
_GRAY = ("1", "L", "P", "I", "I;16")


def mask_name(name: str) -> str:
    """Where the mask of an image of this name lies, below the root of its data set."""
    return str(MASKS / PurePosixPath(name).with_suffix(".png"))


def find_masks(root: Path, samples: Sequence[Sample]) -> dict[int, Path]:
    """The mask of each image that has one: ``masks/NAME.png`` below ``root``, by its row."""
    if not (root / MASKS).is_dir():
        return {}
    files = {row: root / mask_name(sample.name) for row, sample in enumerate(samples)}
    return {row: file for row, file in files.items() if file.is_file()}


def open_mask(file: Path, size: ImageSize) -> Image.Image:
    """The mask of an image of ``size``, one value a pixel.

    Raises:
        LookcloserError: For a file that cannot be read, one with colors, and one of another size.
    """
    with open_image(file) as opened:
        image = opened.copy()
    if image.mode not in _GRAY:
        raise LookcloserError(
            f"{file}: an image of mode {image.mode}",
            allowed=f"One value a pixel: 0 for background, {IGNORED} for ignored, else the object",
        )
    if image.size != size:
        raise LookcloserError(
            f"{file}: {image.width}×{image.height} pixels",
            allowed=f"{size.width}×{size.height}, as its image",
        )
    return image
