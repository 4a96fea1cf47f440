"""The largest component of a single mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lookcloser.metrics.components import Area
from lookcloser.metrics.landscape import Ints


def label(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Numbers from 1 for the 8-connected components of a mask (h, w); 0 outside of them."""
    labels: NDArray[np.int32] = ndimage.label(mask, np.ones((3, 3)))[0]
    return labels


def largest_box(mask: NDArray[np.bool_], area: Area = "pixels") -> Ints:
    """The box x0, y0, x1, y1, ends inclusive, of the largest 8-connected component of a mask.

    Args:
        mask: (h, w) with at least one pixel set; without holes for the area of the polygon.
        area: "pixels": their number decides, and of equals the component that begins first in
            reading order. "polygon": the area of the polygon through the centres of border pixels,
            and of equals the one that begins last: as ``max`` by ``cv2.contourArea`` picks from the
            list of ``cv2.findContours``.
    """
    labels = label(mask)
    if area == "pixels":
        sizes = np.bincount(labels.ravel())
    else:
        corners = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])
        # Three corners of a square of pixels enclose half of it, four all of it.
        halves = np.maximum((corners > 0).sum(axis=0) - 2, 0)
        sizes = np.zeros(labels.max() + 1, dtype=np.int64)
        np.add.at(sizes, corners.max(axis=0).ravel(), halves.ravel())
    sizes[0] = -1
    largest = np.flatnonzero(sizes == sizes.max())
    begins = [int(np.argmax(labels == number)) for number in largest]
    chosen = largest[np.argmin(begins) if area == "pixels" else np.argmax(begins)]
    rows, columns = ndimage.find_objects(labels, chosen)[chosen - 1]
    return np.array([columns.start, rows.start, columns.stop - 1, rows.stop - 1])
