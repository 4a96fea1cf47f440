"""The kinds of scenes: which digits are in one, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser.data.scenes.canvas import Glyph, Style, compose
from lookcloser.data.scenes.masks import Box, Mask, digit_mask, handwritten

Kind = Literal["single", "tags", "captions"]

FOLLOWERS = {0: (5, 6), 1: (6, 7), 2: (7, 8), 3: (8, 9), 4: (9, 5)}
"""Co-occurrence in `tags`: a digit 0 to 4 brings exactly one of its two followers along."""

COLORS = {
    "red": (1.0, 0.25, 0.2),
    "green": (0.3, 0.95, 0.3),
    "blue": (0.35, 0.6, 1.0),
    "yellow": (1.0, 0.95, 0.2),
    "pink": (1.0, 0.55, 0.95),
    "white": (1.0, 1.0, 1.0),
}
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_TILT = 8.0  # largest angle of a digit in degrees
_FAINT = 0.15  # contrast of a hardly visible digit as a share of the usual one


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and what is true of it.

    Attributes:
        pixels: uint8 (size, size, 3).
        labels: The digits in it as text, one per box: "3" in tags and classes, "three" in captions.
        boxes: The visible box of each digit, x1 and y1 exclusive.
        caption: A sentence, or None.
    """

    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]
    boxes: tuple[Box, ...]
    caption: str | None = None


def single(index: int, split: str, style: Style, generator: np.random.Generator) -> Scene:
    """One digit in clutter; the classes take turns with ``index``."""
    digit = index % 10
    mask = _digit(digit, style.digit_size, split, generator)
    glyph = Glyph(mask, generator.uniform(*style.contrast))
    pixels, boxes = compose([glyph], style, split, generator)
    return Scene(pixels, (str(digit),), boxes)


def tags(index: int, split: str, style: Style, generator: np.random.Generator) -> Scene:
    """One or two leaders, digits 0 to 4, each with exactly one of its two `FOLLOWERS`.

    Half of the followers are hardly visible. What is likely then follows from the leaders: one of
    two digits, not both and not neither. The leaders take turns with ``index``.
    """
    leaders = {index % 5, int(generator.integers(5))}
    followers = {int(generator.choice(FOLLOWERS[leader])) for leader in leaders}
    faint = {digit for digit in sorted(followers) if generator.random() < 0.5}
    digits = sorted(leaders | followers)
    glyphs = [
        Glyph(
            _digit(digit, style.digit_size, split, generator),
            generator.uniform(*style.contrast) * (_FAINT if digit in faint else 1.0),
        )
        for digit in digits
    ]
    pixels, boxes = compose(glyphs, style, split, generator)
    return Scene(pixels, tuple(map(str, digits)), boxes)


def captions(index: int, split: str, style: Style, generator: np.random.Generator) -> Scene:
    """One or two digits with colour and size: "a small red seven above a large blue two".

    Two digits stand clearly beside or clearly above each other. Small and large are the lower and
    the upper quarter of the style's ``digit_size``.
    """
    low, high = style.digit_size
    quarter = (high - low) // 4
    sizes = {"small": (low, low + quarter), "large": (high - quarter, high)}
    words, phrases, glyphs = [], [], []
    for digit in generator.choice(10, size=1 + index % 2, replace=False):
        size, color = str(generator.choice(list(sizes))), str(generator.choice(list(COLORS)))
        words.append(WORDS[digit])
        phrases.append(f"a {size} {color} {WORDS[digit]}")
        mask = _digit(int(digit), sizes[size], split, generator)
        glyphs.append(Glyph(mask, color=np.array(COLORS[color])))
    pixels, boxes = compose(
        glyphs, style, split, generator, saturation=0.25, accept=lambda b: relation(b) is not None
    )
    return Scene(pixels, tuple(words), boxes, f" {relation(boxes)} ".join(phrases))


def relation(boxes: Sequence[Box]) -> str | None:
    """How the first of two boxes stands to the second; None where it is not clear.

    It is clear where the boxes share no column but some rows, or no row but some columns. For one
    box it is the empty string: there is nothing to say.
    """
    if len(boxes) < 2:
        return ""
    first, second = boxes
    beside = first[2] <= second[0] or second[2] <= first[0]
    stacked = first[3] <= second[1] or second[3] <= first[1]
    if beside == stacked:
        return None
    if beside:
        return "left of" if first[0] < second[0] else "right of"
    return "above" if first[1] < second[1] else "below"


KINDS: dict[Kind, Callable[[int, str, Style, np.random.Generator], Scene]] = {
    "single": single,
    "tags": tags,
    "captions": captions,
}


def _digit(digit: int, size: tuple[int, int], split: str, generator: np.random.Generator) -> Mask:
    samples = handwritten(split)[digit]
    sample = samples[generator.integers(len(samples))]
    height = int(generator.integers(size[0], size[1] + 1))
    return digit_mask(sample, height, float(generator.uniform(-_TILT, _TILT)))
