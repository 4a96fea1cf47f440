"""How an image becomes the network's input: the same with torch and without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.core.sizes import Grid

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input.

    The whole image is resized to ``size`` without keeping its aspect ratio, so that a position on
    the map is a position in the image, then scaled to [0, 1] and normalized per channel.

    Attributes:
        size: Rows and columns of the input, in pixels.
        mean: Per channel, of values in [0, 1].
        std: Per channel.
        interpolation: "bilinear", "bicubic" or "nearest"; always antialiased.
    """

    size: Grid = Grid(224, 224)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", Grid(*self.size))  # of a plain pair, too


def input_pixels(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """An RGB image at the size of the network's input, not yet normalized.

    Pillow resizes, whose result is the same on every processor.

    Returns:
        (3, H, W) in 0…255.
    """
    small = image.resize(preprocessing.size.image_size, _FILTERS[preprocessing.interpolation])
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def normalized(pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(..., 3, H, W) in 0…255 as the float32 input of the network."""
    mean, std = (
        np.array(values, dtype=np.float32)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    values: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return values
