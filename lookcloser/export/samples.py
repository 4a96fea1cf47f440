"""Images that a file is checked, calibrated and measured on: of a data set, a folder, or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.images import ImageSource
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import ImageSize
from lookcloser.core.storage.files import find_images
from lookcloser.data import Catalog, Sample
from lookcloser.export.measure import Measured
from lookcloser.runtime.inputs import load_batches

_BATCH = 32
_CELLS = 8


def drawn_pixels(preprocessing: Preprocessing, count: int) -> NDArray[np.uint8]:
    """(count, 3, H, W): soft blots of color, the same every time."""
    height, width = preprocessing.size
    cells = np.random.default_rng(0).uniform(0, 255, (count, 3, _CELLS + 1, _CELLS + 1))
    for axis, side in ((2, height), (3, width)):
        places = np.linspace(0, _CELLS, side)
        low = np.minimum(places.astype(int), _CELLS - 1)
        share = (places - low).reshape([-1 if a == axis else 1 for a in range(4)])
        cells = cells.take(low, axis) * (1 - share) + cells.take(low + 1, axis) * share
    return cells.astype(np.uint8)


def folder_pixels(folder: str | Path, preprocessing: Preprocessing, most: int) -> NDArray[np.uint8]:
    """(B, 3, H, W): up to ``most`` images below a folder, spread over it.

    Raises:
        LookcloserError: For a folder that is not there, or has no readable image.
    """
    return _read(find_images(str(folder)), preprocessing, most, str(folder))[0]


def data_images(catalog: Catalog, split: str, header: ModelHeader, most: int) -> Measured:
    """Up to ``most`` images of a split, spread over it, with what is known of them.

    Raises:
        LookcloserError: If none can be read.
    """
    samples = catalog.split(split)
    pixels, rows, sizes = _read([s.source for s in samples], header.preprocessing, most, split)
    chosen = [samples[row] for row in rows]
    labels = _labels(chosen, header)
    boxes = None
    if labels is not None and any(sample.boxes for sample in chosen):
        boxes = [sample.boxes_of(sample.labels[0]) for sample in chosen]
    source = f"{len(rows)} images of {split} of {catalog.title}"
    return Measured(pixels, labels, boxes, sizes, source)


def _labels(samples: Sequence[Sample], header: ModelHeader) -> NDArray[np.int64] | None:
    if header.task != "classification":
        return None
    index = {name: at for at, name in enumerate(header.names)}
    found = [index.get(sample.labels[0], -1) if sample.labels else -1 for sample in samples]
    return np.array(found) if min(found) >= 0 else None


def _read(
    sources: Sequence[ImageSource], preprocessing: Preprocessing, most: int, name: str
) -> tuple[NDArray[np.uint8], list[int], list[ImageSize]]:
    """Pixels, the positions of what could be read, and the original sizes."""
    places = np.unique(np.linspace(0, len(sources) - 1, min(most, len(sources))).astype(int))
    wanted = places.tolist() if sources else []
    loaded = [
        item
        for batch in load_batches(
            [sources[place] for place in wanted],
            preprocessing,
            batch_size=_BATCH,
        )
        for item in batch
    ]
    read = [(at, one) for at, one in zip(wanted, loaded, strict=True) if one.pixels is not None]
    if not read:
        raise LookcloserError(f"{name}: no image that can be read", fix="Give a folder of images")
    pixels = np.stack([one.pixels for _, one in read if one.pixels is not None])
    return pixels, [at for at, _ in read], [one.size for _, one in read]
