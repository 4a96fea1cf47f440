"""Any map on any image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lookcloser.core import drawing
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import ImageSource, load_image
from lookcloser.runtime.regions import heatmaps_of


def overlay(
    image: ImageSource,
    heatmap: ArrayLike,
    *,
    alpha: float = 0.7,
    colormap: str = drawing.COLORMAP,
) -> Image.Image:
    """``image`` with a map laid over it: the stronger the evidence, the more opaque its color.

    Args:
        image: A file, the bytes of one, a PIL image, or an array (H, W, 3).
        heatmap: (h, w), of any size, covering the whole image. Values outside [0, 1] are raw
            evidence: what is negative is none, and the highest becomes 1.
        alpha: Opacity of the strongest evidence, in [0, 1].
        colormap: A name in `lookcloser.core.drawing.colormaps.COLORMAPS`.

    Returns:
        An RGB image of the size of ``image``.

    Raises:
        LookcloserError: For an image that cannot be read, a map of another shape or with values
            that are not finite numbers, another opacity, and an unknown color map.
    """
    array = _map(heatmap)
    if array.min() < 0 or array.max() > 1:
        array = heatmaps_of(array)
    if not isinstance(alpha, int | float | np.floating) or not 0 <= float(alpha) <= 1:
        raise LookcloserError(f"alpha = {alpha}", allowed="A number from 0 to 1")
    return drawing.overlay(load_image(image), array, alpha, colormap)


def _map(heatmap: Any) -> NDArray[np.float32]:
    if hasattr(heatmap, "detach"):  # a tensor, on whatever device
        heatmap = heatmap.detach().float().cpu().numpy()
    try:
        wide = np.asarray(heatmap).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError) as error:  # rows of different lengths, words, complex numbers
        raise LookcloserError(
            "a map that is not one of real numbers", allowed="(h, w)", fix="Give one map at a time"
        ) from error
    with np.errstate(over="ignore"):  # infinite is refused below
        array = wide.astype(np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise LookcloserError(
            f"a map of shape {array.shape}", allowed="(h, w)", fix="Give one map at a time"
        )
    if not np.isfinite(array).all():
        raise LookcloserError("a map with values that are not finite", allowed="Finite numbers")
    return array
