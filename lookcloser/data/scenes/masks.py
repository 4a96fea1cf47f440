"""Opacity masks: what is drawn on a scene, before it has a colour and a place.

A mask is float32 (h, w) in [0, 1], 0 where nothing is drawn.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.float32]
SPLITS = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Share of the handwritten digits that each split draws from."""

VISIBLE = 0.3
"""Opacity from which ink counts as visible: what a digit's box encloses."""

_SOURCE = 8
_STROKE_WIDTH = 0.055
_SUPERSAMPLING = 2


@cache
def digits(split: str) -> tuple[Mask, ...]:
    """The samples of each digit that belong to ``split``.

    scikit-learn's 1,797 handwritten digits are divided class by class, by one permutation that no
    seed changes, so that no two sets of scenes share a digit between different splits.

    Returns:
        Ten arrays (n, 8, 8), one per digit 0 to 9.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    names = list(SPLITS)
    edges = np.cumsum(list(SPLITS.values()))[:-1]
    generator = np.random.default_rng(0)
    pools = []
    for digit in range(10):
        own = (source.images[source.target == digit] / 16).astype(np.float32)
        own = own[generator.permutation(len(own))]
        parts = np.split(own, (edges * len(own)).round().astype(int))
        pools.append(parts[names.index(split)])
    return tuple(pools)


def digit_mask(sample: Mask, height: int, angle: float = 0.0) -> Mask:
    """A handwritten digit, ``height`` pixels tall before it is turned by ``angle`` degrees.

    Args:
        sample: (8, 8) in [0, 1].
        height: Of the frame that the eight rows of the sample fill.
        angle: Counter-clockwise.
    """
    return _crop(_enlarge(sample, height, angle))


def fragment_mask(sample: Mask, height: int, generator: np.random.Generator) -> Mask:
    """A piece of a digit at the same scale, too small to tell which digit it comes from.

    The piece is 4 of the 8 rows and columns; its rim fades, so that no cut edge gives it away.
    """
    top, left = generator.integers(0, _SOURCE - 4 + 1, size=2)
    fade = np.sin(np.pi * (np.arange(4) + 0.75) / 4.5).astype(np.float32) ** 0.5
    piece = sample[top : top + 4, left : left + 4] * np.outer(fade, fade)
    return _enlarge(piece, height // 2, float(generator.uniform(0, 360)))


def stroke_mask(height: int, generator: np.random.Generator) -> Mask:
    """A thin curve: a quadratic Bézier line through a square of 1 to 2.5 digit heights."""
    side = int(height * generator.uniform(1.0, 2.5))
    start, middle, end = generator.uniform(0.05, 0.95, size=(3, 2)) * side * _SUPERSAMPLING
    t = np.linspace(0, 1, 12)[:, None]
    curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    image = Image.new("L", (side * _SUPERSAMPLING,) * 2)
    width = max(round(height * _STROKE_WIDTH * _SUPERSAMPLING), 1)
    ImageDraw.Draw(image).line([tuple(point) for point in curve], fill=255, width=width)
    return np.asarray(image.reduce(_SUPERSAMPLING), dtype=np.float32) / 255


def blob_mask(height: int, generator: np.random.Generator) -> Mask:
    """A filled ellipse with a soft rim, its axes 0.3 to 1 digit height."""
    axes = height * generator.uniform(0.15, 0.5, size=2)
    angle = generator.uniform(0, np.pi)
    reach = int(np.ceil(axes.max())) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    u = (x * np.cos(angle) + y * np.sin(angle)) / axes[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / axes[1]
    return np.clip((1.0 - np.hypot(u, v)) * 2.5, 0, 1).astype(np.float32)


def visible_box(mask: Mask) -> tuple[int, int, int, int]:
    """The tight box (x0, y0, x1, y1) of the visible ink, x1 and y1 exclusive, in mask pixels."""
    columns = np.flatnonzero((mask >= VISIBLE).any(axis=0))
    rows = np.flatnonzero((mask >= VISIBLE).any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _enlarge(sample: Mask, height: int, angle: float) -> Mask:
    """``sample`` with a rim of one, smoothly enlarged so that it without the rim is ``height``."""
    scale = height / sample.shape[0]
    padded = np.pad(sample, 1)
    side = round(padded.shape[0] * scale)
    image = Image.fromarray(padded).resize((side, side), Image.Resampling.BICUBIC)
    if angle:
        image = image.rotate(angle, Image.Resampling.BICUBIC)
    level = np.clip((np.asarray(image) - 0.15) / 0.5, 0, 1)
    return level * level * (3 - 2 * level)


def _crop(mask: Mask) -> Mask:
    x0, y0, x1, y1 = visible_box(mask)
    return mask[y0:y1, x0:x1]
