"""Images that are nearly the same: another size, another compression, a frame later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 16
# Mean difference of the small gray images, in gray levels and as a share of the contrast: another
# size or quality makes 1 to 2 of 50.
_MOST_DIFFERENT, _MOST_SHARE = 3.0, 0.08
# Images with less contrast (in gray levels) all look alike when they are small.
_LEAST_CONTRAST = 12.0
_BITS, _BANDS = 64, 8
_MOST_IN_BAND = 200

Print = NDArray[np.uint8]


def fingerprint(image: Image.Image) -> Print | None:
    """A small gray copy of an image, uint8 of shape (256,); None where there is too little to see.

    Args:
        image: Any mode, any size from 16 × 16.
    """
    if min(image.size) < _SIDE:
        return None
    small = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    values = np.asarray(small, dtype=np.uint8).reshape(-1)
    return values if float(values.std()) >= _LEAST_CONTRAST else None


def nearly_equal(prints: Sequence[Print | None], groups: Sequence[object]) -> list[tuple[int, int]]:
    """Pairs of images of different groups that are nearly the same, each second one once.

    Candidates are images that agree in a band of 8 of the 64 signs of neighboring differences, so
    that all pairs need not be compared; of a band that hundreds share only the first are.

    Args:
        prints: From `fingerprint`.
        groups: Of each image; images of one group are not compared.

    Returns:
        (index, index) with the smaller one first, sorted.
    """
    known = [index for index, values in enumerate(prints) if values is not None]
    found: dict[int, int] = {}
    bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for index in known:
        values = prints[index]
        assert values is not None  # of those known
        for key in _bands(values):
            for other in bands[key]:
                if index in found:
                    break
                if groups[other] != groups[index] and _are_near(values, prints[other]):
                    found[index] = other
            if len(bands[key]) < _MOST_IN_BAND:
                bands[key].append(index)
    return sorted((other, index) for index, other in found.items())


def _bands(values: Print) -> list[tuple[int, bytes]]:
    """The signs of the differences between 8 × 9 cells, in 8 parts."""
    grid = values.reshape(_SIDE, _SIDE).astype(np.float32)
    rows = grid.reshape(8, 2, _SIDE).mean(1)
    cells = np.stack([rows[:, start : start + 2].mean(1) for start in np.arange(9) * 14 // 8], 1)
    signs = np.packbits(cells[:, 1:] > cells[:, :-1], axis=1).reshape(-1)
    return [(band, bytes(signs[band : band + 1])) for band in range(_BANDS)]


def _are_near(first: Print, second: Print | None) -> bool:
    assert second is not None  # of those known
    difference = np.abs(first.astype(np.int16) - second.astype(np.int16)).mean()
    return bool(difference <= min(_MOST_DIFFERENT, _MOST_SHARE * float(first.std())))
