"""Opacity masks: what is drawn on a scene, before it has a color and a place.

A mask is float32 (h, w) in [0, 1], 0 where nothing is drawn.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.float32]
Box = tuple[int, int, int, int]

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Share of the handwritten digits that each split draws from."""

VISIBLE = 0.3
"""Opacity from which ink counts as visible: what a digit's box encloses."""

_ROWS = 8  # of a handwritten digit in the source
_PIECE = 4  # rows and columns of a fragment
_STROKE = 0.055  # width of a stroke in digit heights
_SUPERSAMPLING = 2


@cache
def handwritten(split: str) -> tuple[Mask, ...]:
    """The samples of each digit that belong to ``split``.

    scikit-learn's 1,797 handwritten digits are divided digit by digit, always in the same way
    whatever the seed of the scenes, so that a test scene never shows a digit that was trained on.

    Returns:
        Ten arrays (n, 8, 8) in [0, 1], one per digit 0 to 9.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    edges = np.cumsum(list(SHARES.values()))[:-1]
    generator = np.random.default_rng(0)
    pools = []
    for digit in range(10):
        own = (source.images[source.target == digit] / 16).astype(np.float32)
        parts = np.split(generator.permutation(own), (edges * len(own)).round().astype(int))
        pools.append(parts[list(SHARES).index(split)])
    return tuple(pools)


def digit_mask(sample: Mask, height: int, angle: float = 0.0) -> Mask:
    """A handwritten digit with a rim around it.

    Args:
        sample: (8, 8) in [0, 1].
        height: In pixels, of the eight rows of the sample.
        angle: In degrees, counter-clockwise.
    """
    return _enlarge(sample, height / _ROWS, angle)


def fragment_mask(sample: Mask, height: int, generator: np.random.Generator) -> Mask:
    """A turned piece of a digit ``height`` pixels tall, too small to tell which digit it is from.

    The piece is a quarter of the digit; its rim fades, so that no cut edge gives it away.
    """
    top, left = generator.integers(0, _ROWS - _PIECE + 1, size=2)
    fade = np.sqrt(np.sin(np.pi * (np.arange(_PIECE) + 0.75) / (_PIECE + 0.5)))
    piece = sample[top : top + _PIECE, left : left + _PIECE] * np.outer(fade, fade)
    return _enlarge(piece.astype(np.float32), height / _ROWS, float(generator.uniform(0, 360)))


def stroke_mask(height: int, generator: np.random.Generator) -> Mask:
    """A thin curve (a quadratic Bézier line) through a square of 1 to 2.5 digit heights."""
    side = int(height * generator.uniform(1.0, 2.5))
    start, middle, end = generator.uniform(0.05, 0.95, size=(3, 2)) * side * _SUPERSAMPLING
    t = np.linspace(0, 1, 12)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    image = Image.new("L", (side * _SUPERSAMPLING, side * _SUPERSAMPLING))
    width = max(round(height * _STROKE * _SUPERSAMPLING), 1)
    ImageDraw.Draw(image).line([(float(x), float(y)) for x, y in curve], fill=255, width=width)
    return np.asarray(image.reduce(_SUPERSAMPLING), dtype=np.float32) / np.float32(255)


def blob_mask(height: int, generator: np.random.Generator) -> Mask:
    """A filled ellipse with a soft rim, its axes 0.3 to 1 digit height."""
    first, second = height * generator.uniform(0.15, 0.5, size=2)
    angle = generator.uniform(0, np.pi)
    reach = int(np.ceil(max(first, second)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / first
    v = (y * np.cos(angle) - x * np.sin(angle)) / second
    opacity: Mask = np.clip((1.0 - np.hypot(u, v)) * 2.5, 0, 1).astype(np.float32)
    return opacity


def visible_box(mask: Mask) -> Box:
    """The tight box (x0, y0, x1, y1) of the visible ink, x1 and y1 exclusive, in mask pixels."""
    columns = np.flatnonzero((mask >= VISIBLE).any(axis=0))
    rows = np.flatnonzero((mask >= VISIBLE).any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _enlarge(sample: Mask, scale: float, angle: float) -> Mask:
    """``sample`` in a rim of one, smoothly enlarged, turned, and given firm edges."""
    side = round((len(sample) + 2) * scale)
    image = Image.fromarray(np.pad(sample, 1)).resize((side, side), Image.Resampling.BICUBIC)
    turned = image.rotate(angle, Image.Resampling.BICUBIC)
    level = np.clip((np.asarray(turned) - 0.15) / 0.5, 0, 1)
    opacity: Mask = (level * level * (3 - 2 * level)).astype(np.float32)
    return opacity
