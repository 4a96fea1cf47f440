"""Composition: digits placed on a smooth background among clutter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.core.errors import LookcloserError
from lookcloser.data.scenes.masks import (
    Box,
    Mask,
    blob_mask,
    fragment_mask,
    handwritten,
    stroke_mask,
    visible_box,
)

Pixels = NDArray[np.float32]
Color = NDArray[np.floating]

_COVERED = 0.1  # share of a digit's box that one piece of clutter may reach into
_PIECE_TRIES = 10
_PLACE_TRIES = 2000


@dataclass(frozen=True)
class Style:
    """What scenes look like.

    Attributes:
        size: Side of the square image in pixels.
        digit_size: Smallest and largest height of a digit in pixels; clutter has its scale.
        clutter: Fewest and most pieces of clutter.
        contrast: Smallest and largest brightness of digits and clutter above what is around them,
            as a share of full brightness.
    """

    size: int
    digit_size: tuple[int, int]
    clutter: tuple[int, int]
    contrast: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Glyph:
    """A digit to be drawn: in ``color`` (RGB in [0, 1]), or brighter by ``contrast`` without."""

    mask: Mask
    contrast: float = 0.0
    color: Color | None = None


def compose(
    glyphs: Sequence[Glyph],
    style: Style,
    split: str,
    generator: np.random.Generator,
    *,
    saturation: float = 1.0,
    accept: Callable[[Sequence[Box]], bool] = lambda boxes: True,
) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Draw ``glyphs`` at random places on a background, clutter beneath them.

    Args:
        glyphs: Their visible boxes are inside the image and do not touch.
        style: Size and clutter of the scene.
        split: Fragments of digits come from the samples of this split.
        generator: Decides everything random.
        saturation: Of the background: 0 is gray.
        accept: Whether the glyphs' boxes may stand like this; asked until it says yes.

    Returns:
        The image, uint8 (size, size, 3), and the visible box of each glyph in it.

    Raises:
        LookcloserError: If the glyphs find no place.
    """
    pixels = _background(style.size, saturation, generator)
    inner = [visible_box(glyph.mask) for glyph in glyphs]
    boxes = _place(inner, style.size, generator, accept)
    for _ in range(generator.integers(style.clutter[0], style.clutter[1] + 1)):
        mask = _clutter(style, split, generator)
        corner = _free_corner(mask, boxes, style.size, generator)
        if corner is not None:
            _paint(pixels, Glyph(mask, generator.uniform(*style.contrast)), corner, generator)
    for glyph, own, box in zip(glyphs, inner, boxes, strict=True):
        _paint(pixels, glyph, (box[0] - own[0], box[1] - own[1]), generator)
    return (pixels * 255 + 0.5).astype(np.uint8), tuple(boxes)


def _background(size: int, saturation: float, generator: np.random.Generator) -> Pixels:
    """A smooth field of dark to middling colors, (size, size, 3) in [0, 1]."""
    grid = generator.uniform(0.15, 0.5, size=3) + generator.uniform(-0.2, 0.2, size=(4, 4, 3))
    gray = grid.mean(axis=-1, keepdims=True)
    coarse = np.clip(gray + saturation * (grid - gray), 0.08, 0.92) * 255
    image = Image.fromarray(coarse.astype(np.uint8))
    smooth = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32) / np.float32(255)


def _place(
    inner: Sequence[Box],
    size: int,
    generator: np.random.Generator,
    accept: Callable[[Sequence[Box]], bool],
) -> list[Box]:
    sides = np.array([(x1 - x0, y1 - y0) for x0, y0, x1, y1 in inner])
    if (sides < size).all():
        for _ in range(_PLACE_TRIES):
            corners = generator.integers(0, size - sides + 1)
            boxes = [
                (int(x), int(y), int(x + w), int(y + h))
                for (x, y), (w, h) in zip(corners, sides, strict=True)
            ]
            if _apart(boxes) and accept(boxes):
                return boxes
    raise LookcloserError(
        f"{len(inner)} digits of {sides.max()} pixels find no place in {size} x {size} pixels",
        fix="Take a larger size or smaller digits",
    )


def _apart(boxes: Sequence[Box]) -> bool:
    """Whether at least one pixel is free between any two boxes."""
    return all(
        a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
        for i, a in enumerate(boxes)
        for b in boxes[:i]
    )


def _clutter(style: Style, split: str, generator: np.random.Generator) -> Mask:
    """Half of the pieces are fragments of digits, the others strokes and blobs."""
    height = int(generator.integers(style.digit_size[0], style.digit_size[1] + 1))
    kind = generator.random()
    if kind < 0.5:
        samples = handwritten(split)[generator.integers(10)]
        return fragment_mask(samples[generator.integers(len(samples))], height, generator)
    return (stroke_mask if kind < 0.75 else blob_mask)(height, generator)


def _free_corner(
    mask: Mask, boxes: Sequence[Box], size: int, generator: np.random.Generator
) -> tuple[int, int] | None:
    """Where ``mask`` covers no digit; its center is in the image. None if no try succeeds."""
    h, w = mask.shape
    for _ in range(_PIECE_TRIES):
        x, y = (int(value) for value in generator.integers(0, size, size=2) - (w // 2, h // 2))
        if all(
            mask[_span(y, y0, y1), _span(x, x0, x1)].sum() <= _COVERED * (x1 - x0) * (y1 - y0)
            for x0, y0, x1, y1 in boxes
        ):
            return x, y
    return None


def _span(start: int, low: int, high: int) -> slice:
    """The pixels ``low`` to ``high`` of the image, counted from ``start``."""
    return slice(max(low - start, 0), max(high - start, 0))


def _paint(
    pixels: Pixels, glyph: Glyph, corner: tuple[int, int], generator: np.random.Generator
) -> None:
    """Blend ``glyph`` into ``pixels``, its upper left corner at (x, y); what is outside is cut."""
    (x, y), (h, w) = corner, glyph.mask.shape
    opacity = glyph.mask[_span(y, 0, len(pixels)), _span(x, 0, len(pixels)), None]
    window = pixels[_span(0, y, y + h), _span(0, x, x + w)]
    color = glyph.color
    if color is None:
        tint = generator.uniform(0.5, 1.5, size=3)
        color = np.clip(window.mean(axis=(0, 1)) + glyph.contrast * tint / tint.mean(), 0, 1)
    window += opacity * (color.astype(np.float32) - window)
