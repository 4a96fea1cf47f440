"""What is drawn on an image: heatmaps, labeled boxes, arrows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from lookcloser.core import boxes as box_geometry
from lookcloser.core.drawing.colormaps import color_table
from lookcloser.core.drawing.text import draw_text, shorten, text_width
from lookcloser.core.sizes import ImageSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookcloser.core.types import Box

COLORMAP = "inferno"  # rises evenly in lightness, so it reads alike with every color vision
BOX_COLOR = "#35d0ff"  # stands out from every color of the map
FONT_SIZE = 15
_Corners = tuple[int, int, int, int]


def overlay(
    image: Image.Image, heatmap: NDArray[np.float32], alpha: float = 0.7, colormap: str = COLORMAP
) -> Image.Image:
    """``image`` with ``heatmap`` painted over it.

    A value v is painted with opacity ``alpha * v``: what has no evidence keeps its own colors.

    Args:
        image: RGB image.
        heatmap: (h, w) in [0, 1], covering the whole image. It is upsampled bilinearly with
            ``align_corners=False``.
        alpha: Opacity of the strongest evidence, in [0, 1].
        colormap: A name in `lookcloser.core.drawing.colormaps.COLORMAPS`.
    """
    small = Image.fromarray(np.clip(heatmap, 0.0, 1.0).astype(np.float32))
    values = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))
    colors = color_table(colormap)[np.minimum(values * 256, 255).astype(int)]
    opacity = alpha * values[..., None]
    mixed = np.asarray(image.convert("RGB")) * (1.0 - opacity) + colors * opacity
    return Image.fromarray(mixed.round().astype(np.uint8))


def draw_box(image: Image.Image, box: Box, text: str = "", color: str = BOX_COLOR) -> Image.Image:
    """``image`` with one box and its text; see `draw_boxes`."""
    return draw_boxes(image, [(box, text)], color)


def draw_boxes(
    image: Image.Image, boxes: Sequence[tuple[Box, str]], color: str = BOX_COLOR
) -> Image.Image:
    """``image`` with boxes, each with its text, which stays inside the image.

    A line lies inside its box and has a dark inner edge, so that it shows on any image. Texts lie
    above all lines, and none on another where there is room beside its box.

    Args:
        image: RGB image.
        boxes: In its pixels, each with a text or "".
        color: Of the lines and behind the texts.
    """
    result = image.convert("RGB")  # a copy, also of an RGB image
    draw = ImageDraw.Draw(result)
    size = ImageSize(*image.size)
    line = max(2, round(min(size) / 200))
    corners = [_whole_pixels(box, size) for box, _ in boxes]
    for x0, y0, x1, y1 in corners:
        for inset in range(line + 2):  # Pillow's own wide lines leave a thin rectangle
            inner = (x0 + inset, y0 + inset, x1 - 1 - inset, y1 - 1 - inset)
            if inner[0] <= inner[2] and inner[1] <= inner[3]:
                draw.rectangle(inner, outline=color if inset < line else "black")
    taken: list[_Corners] = []
    for own, (_, text) in zip(corners, boxes, strict=True):
        if text:
            _tag(draw, text, own, size, color, taken)
    return result


def _whole_pixels(box: Box, size: ImageSize) -> _Corners:
    """A box inside the image, at least one pixel wide and high."""
    x0, y0, x1, y1 = (round(value) for value in box_geometry.clip(box, size).tolist())
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def draw_move(
    image: Image.Image, box: Box, move: tuple[float, float, float], color: str = BOX_COLOR
) -> Image.Image:
    """``image`` with arrows that say which way a box would go, of one length however strongly.

    One from its middle for x and y, and one at each corner for its size: outward where it grows.

    Args:
        image: RGB image.
        box: In its pixels.
        move: (x, y, half-side) as in `Region`.
        color: Of the arrows.
    """
    result = image.convert("RGB")
    draw = ImageDraw.Draw(result)
    x0, y0, x1, y1 = box
    reach = 0.3 * min(x1 - x0, y1 - y0)
    along = math.hypot(move[0], move[1])
    if along > 0:
        step = (move[0] / along * reach, move[1] / along * reach)
        _arrow(draw, ((x0 + x1) / 2, (y0 + y1) / 2), step, color)
    # From the edge outside where it grows, inside where it shrinks.
    outward = np.sign(move[2]) * reach / 2
    for x, right in ((x0, -1), (x1, 1)):
        for y, down in ((y0, -1), (y1, 1)):
            _arrow(draw, (x, y), (right * outward, down * outward), color)
    return result


def _arrow(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    step: tuple[float, float],
    color: str,
) -> None:
    """A line with a head, on a darker one so that it shows on any image; nothing below 3 px."""
    length = math.hypot(*step)
    if length < 3:
        return
    (x, y), (dx, dy) = start, (step[0] / length, step[1] / length)
    head = min(9.0, 0.6 * length)
    end, base = (x + step[0], y + step[1]), length - head
    neck = (x + dx * base, y + dy * base)
    sides = [(neck[0] - sign * dy * head / 2, neck[1] + sign * dx * head / 2) for sign in (-1, 1)]
    draw.line((start, neck), fill="black", width=5)
    draw.polygon((end, *sides), fill=color, outline="black")
    draw.line((start, neck), fill=color, width=3)


def _tag(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: _Corners,
    size: ImageSize,
    color: str,
    taken: list[_Corners],
) -> None:
    """Text on a filled plate above the box; elsewhere at it, where there is no room above.

    An image too small for a plate has none: a part of a letter says nothing. Where the plate lies
    is added to ``taken``.
    """
    text = shorten(text, FONT_SIZE, size.width - 8)
    width, height = math.ceil(text_width(text, FONT_SIZE)) + 8, FONT_SIZE + 6
    if text == "…" or width > size.width or height > size.height:
        return
    spots = [(x, y, x + width, y + height) for x, y in _spots(box, ImageSize(width, height), size)]
    spot = next((one for one in spots if not any(_meet(one, other) for other in taken)), spots[0])
    taken.append(spot)
    x, y, right, bottom = spot
    draw.rectangle((x, y, right - 1, bottom - 1), fill=color)
    draw_text(draw, (x + 4, y + 1), text, "black", FONT_SIZE)


def _spots(box: _Corners, plate: ImageSize, size: ImageSize) -> list[tuple[int, int]]:
    """Upper left corners of a plate at a box that lie in the image, the best first.

    Above the box, inside it at the top, below it, inside at the bottom, each at its left or right.
    """
    x0, y0, x1, y1 = box
    lowest, rightmost = size.height - plate.height, size.width - plate.width
    rows = [y for y in (y0 - plate.height, y0, y1, y1 - plate.height) if 0 <= y <= lowest]
    columns = [max(0, min(x, rightmost)) for x in (x0, x1 - plate.width)]
    return [(x, y) for y in rows or [lowest] for x in columns]


def _meet(one: _Corners, other: _Corners) -> bool:
    """Whether two boxes have a pixel in common."""
    across = max(one[0], other[0]) < min(one[2], other[2])
    return across and max(one[1], other[1]) < min(one[3], other[3])
