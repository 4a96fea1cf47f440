"""Composition: a smooth coloured background, and masks painted on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.data.scenes.masks import Mask

Pixels = NDArray[np.float32]
Color = NDArray[np.floating]


def background(size: int, generator: np.random.Generator) -> Pixels:
    """A smooth field of colour, (size, size, 3) in [0, 1], never near black or white."""
    base = generator.uniform(*BASE, size=3)
    grid = base + generator.uniform(-0.2, 0.2, size=(4, 4, 3))
    coarse = Image.fromarray((np.clip(grid, 0.08, 0.92) * 255).astype(np.uint8))
    smooth = coarse.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32) / 255


LIGHT=0.5
BASE=(.25,.75)
def contrasting(local: Color, contrast: float, generator: np.random.Generator) -> Color:
    """A colour that is lighter or darker than ``local`` by ``contrast`` in its mean channel."""
    tint = generator.uniform(0.5, 1.5, size=3)
    sign = 1.0 if generator.random() < LIGHT else -1.0
    if not 0 <= local.mean() + sign * contrast <= 1:
        sign = -sign
    return np.clip(local + sign * contrast * tint / tint.mean(), 0, 1)


def paint(
    pixels: Pixels, mask: Mask, corner: tuple[int, int], contrast: float,
    generator: np.random.Generator,
) -> None:
    x, y = corner
    h, w = mask.shape
    H, W = pixels.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, W), min(y + h, H)
    if x0 >= x1 or y0 >= y1:
        return
    window = pixels[y0:y1, x0:x1]
    alpha = mask[y0 - y : y1 - y, x0 - x : x1 - x, None]
    color = contrasting(window.mean(axis=(0, 1)), contrast, generator)
    window += alpha * (color.astype(np.float32) - window)
