"""MNIST digits among others: a canvas with one digit that counts, and what is beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Places = NDArray[np.int64]

DIGIT = 28  # side of a digit
PIECE = 10  # of a piece of another digit
SMALL = 18  # of the second digit where the larger one counts
CANVAS, LARGE = 64, 112
_EDGE = 6  # of a digit, where there is hardly any ink to take a piece of


@dataclass(frozen=True)
class Setting:
    """How images are made.

    Attributes:
        side: Of an image; the digit lies anywhere in it.
        pieces: Square pieces of other digits.
        second: Another digit that does not count: a smaller one, or one without the frame that
            the first has.
        noise: Standard deviation of Gaussian noise, for pixels of 0 to 255.
    """

    side: int = CANVAS
    pieces: int = 0
    second: Literal["none", "smaller", "unframed"] = "none"
    noise: float = 0.0


SETTINGS = {
    "digit alone, 28 px": Setting(DIGIT),
    "noise, 28 px": Setting(DIGIT, noise=127.5),
    "empty canvas": Setting(),
    "8 pieces": Setting(pieces=8),
    "8 pieces, noise": Setting(pieces=8, noise=64.0),
    "two digits, the larger counts": Setting(second="smaller"),
    "two digits, the framed counts": Setting(second="unframed"),
    "large canvas, 24 pieces": Setting(LARGE, pieces=24),
}


class Drawn(NamedTuple):
    """Images (N, side, side), their digits (N,), and the digits' boxes (N, 4), x1, y1 exclusive."""

    images: Pixels
    digits: NDArray[np.int64]
    boxes: Places


def draw(
    images: Pixels, digits: NDArray[np.int64], setting: Setting, count: int, seed: int
) -> Drawn:
    """``count`` images of digits drawn from (M, 28, 28); the same each time."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((count, setting.side, setting.side), np.uint8)
    for _ in range(setting.pieces):
        source = rng.integers(len(images), size=count)
        corner = rng.integers(_EDGE, DIGIT - PIECE - _EDGE + 1, (count, 2))
        piece = _cut(images[source], corner, PIECE)
        _lay(canvas, piece, rng.integers(setting.side - PIECE + 1, size=(count, 2)))
    chosen = rng.permutation(len(images))[np.arange(count) % len(images)]
    if setting.second == "none":
        corner = rng.integers(setting.side - DIGIT + 1, size=(count, 2))
    else:
        other = images[rng.integers(len(images), size=count)]
        if setting.second == "smaller":
            other = _smaller(other)
        corner, place = _two_places(setting.side, DIGIT, other.shape[1], count, rng)
        _lay(canvas, other, place)
        if setting.second == "unframed":
            _lay(canvas, np.broadcast_to(_frame(), (count, DIGIT + 2, DIGIT + 2)), corner - 1)
    _lay(canvas, images[chosen], corner)
    boxes = np.concatenate([corner[:, ::-1], corner[:, ::-1] + DIGIT], axis=1)
    return Drawn(canvas, digits[chosen], boxes)


def _around(corner: Places, side: int) -> tuple[Places, Places, Places]:
    """Indices of squares (N, side, side) at these rows and columns."""
    reach = np.arange(side)
    rows = corner[:, 0, None, None] + reach[:, None]
    columns = corner[:, 1, None, None] + reach
    return np.arange(len(corner))[:, None, None], rows, columns


def _cut(images: Pixels, corner: Places, side: int) -> Pixels:
    return images[_around(corner, side)]


def _lay(canvas: Pixels, patch: Pixels, corner: Places) -> None:
    """The lighter of both, pixel by pixel."""
    where = _around(corner, patch.shape[1])
    canvas[where] = np.maximum(canvas[where], patch)


def _smaller(images: Pixels) -> Pixels:
    resized = (Image.fromarray(one).resize((SMALL, SMALL), Image.Resampling.BOX) for one in images)
    return np.stack([np.asarray(one) for one in resized])


def _frame() -> Pixels:
    frame = np.full((DIGIT + 2, DIGIT + 2), 255, np.uint8)
    frame[1:-1, 1:-1] = 0
    return frame


def _two_places(
    side: int, first: int, second: int, count: int, rng: np.random.Generator
) -> tuple[Places, Places]:
    """Corners of two squares in different halves, a pixel from the edges of their halves."""
    half = side // 2
    along = rng.integers(2, size=count)  # whether the halves are above each other or side by side
    later = rng.integers(2, size=count)  # whether the first one lies in the second half
    corners = []
    for length, in_second in ((first, later), (second, 1 - later)):
        across = rng.integers(1, side - length, size=count)
        inside = rng.integers(1, half - length, size=count) + half * in_second
        rows = np.where(along == 0, inside, across)
        corners.append(np.stack([rows, np.where(along == 0, across, inside)], axis=1))
    return corners[0], corners[1]
