"""The kinds of scenes: which digits are in one, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookcloser.data.scenes.canvas import Glyph, Style, compose
from lookcloser.data.scenes.masks import Box, Mask, digit_mask, handwritten

Kind = Literal["single", "tags", "captions"]

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
        captions: Sentences, each true of the whole image.
    """

    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]
    boxes: tuple[Box, ...]
    captions: tuple[str, ...] = ()


def single(index: int, split: str, style: Style, generator: np.random.Generator) -> Scene:
    """One digit in clutter; the classes take turns with ``index``."""
    digit = index % 10
    mask = _digit(digit, style.digit_size, split, generator)
    glyph = Glyph(mask, generator.uniform(*style.contrast))
    pixels, boxes = compose([glyph], style, split, generator)
    return Scene(pixels, (str(digit),), boxes)


def tags(index: int, split: str, style: Style, generator: np.random.Generator) -> Scene:
    """One or two leaders, digits 0 to 4, and the `follower` that they bring along.

    Half of the followers are hardly visible; which digit it is then follows from the leaders. The
    leaders take turns with ``index``.
    """
    leaders = {index % 5, int(generator.integers(5))}
    faint = {follower(leaders)} if generator.random() < 0.5 else set()
    digits = [*sorted(leaders), follower(leaders)]
    glyphs = [
        Glyph(
            _digit(digit, style.digit_size, split, generator),
            generator.uniform(*style.contrast) * (_FAINT if digit in faint else 1.0),
        )
        for digit in digits
    ]
    pixels, boxes = compose(glyphs, style, split, generator)
    return Scene(pixels, tuple(map(str, digits)), boxes)


def follower(leaders: Collection[int]) -> int:
    """Co-occurrence in `tags`: the digit 5 to 9 that one leader, or two together, bring along.

    A leader by itself says nothing about the follower, which is another one with each partner. So
    it does not follow from a sum of what single labels say, only from their combination.
    """
    return 5 + (2 * sum(leaders) // len(leaders)) % 5


def captions(index: int, split: str, style: Style, generator: np.random.Generator) -> Scene:
    """One or two digits with color and size: "a small red seven above a large blue two".

    Two digits stand clearly beside or clearly above each other. Nothing in the image says which
    of them comes first, so there are two captions: "a large blue two below a small red seven" is
    the other. Small and large are the lower and the upper quarter of the style's ``digit_size``.
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
    sides = [(boxes, phrases), (boxes[::-1], phrases[::-1])][: len(boxes)]
    sentences = tuple(f" {relation(order)} ".join(named) for order, named in sides)
    return Scene(pixels, tuple(words), boxes, sentences)


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
