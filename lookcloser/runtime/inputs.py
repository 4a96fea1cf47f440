"""Images from files and memory, ready for a network, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookcloser.core.archives import Packed
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import ImageSource, find_images, load_image
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.core.sizes import ImageSize


class Loaded(NamedTuple):
    """One image as a network takes it, or the reason why it cannot be read.

    Attributes:
        pixels: (3, H, W) of `input_pixels`; None where it cannot be read.
        size: Of the upright original.
        error: Why it cannot be read, or None.
        kind: The `LookcloserError.kind` of the error.
        image: The decoded image, of a source that is no file, nor in one.
    """

    pixels: NDArray[np.uint8] | None
    size: ImageSize = ImageSize(0, 0)
    error: str | None = None
    kind: str | None = None
    image: Image.Image | None = None


def load_batches(
    sources: Sequence[ImageSource],
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    workers: int = 0,
) -> Iterator[list[Loaded]]:
    """Images in order, a batch at a time; the next batch is read while one is worked on.

    Args:
        sources: Files, or images in memory.
        preprocessing: How images are made ready.
        batch_size: Images of a batch.
        workers: Threads that decode images; 0 reads each batch when it is asked for.
    """
    load = partial(_load, preprocessing=preprocessing)
    batches = (sources[at : at + batch_size] for at in range(0, len(sources), batch_size))
    if not workers:
        for batch in batches:
            yield [load(source) for source in batch]
        return
    from concurrent.futures import ThreadPoolExecutor  # for many images alone

    with ThreadPoolExecutor(workers) as pool:
        ahead = None
        for batch in batches:
            coming = [pool.submit(load, source) for source in batch]
            if ahead is not None:
                yield [future.result() for future in ahead]
            ahead = coming
        if ahead is not None:
            yield [future.result() for future in ahead]


def list_sources(images: Any) -> list[ImageSource]:
    """Paths, folders and globs become files; images in memory stay as they are.

    An array or tensor of four dimensions is a batch of them.
    """
    several = (
        list(images)
        if isinstance(images, Iterable)
        and not isinstance(images, str | Path | bytes | bytearray | memoryview)
        and getattr(images, "ndim", 4) == 4  # one array or tensor is one image
        and not hasattr(images, "read")  # an open file, of which iterating gives lines
        and not isinstance(images, Image.Image)
        else [images]
    )
    sources: list[ImageSource] = []
    for source in several:
        sources.extend(find_images(source) if isinstance(source, str | Path) else [source])
    return sources


def _load(source: ImageSource, preprocessing: Preprocessing) -> Loaded:
    try:
        image = load_image(source)
    except LookcloserError as error:
        return Loaded(None, error=str(error), kind=error.kind)
    kept = None if isinstance(source, str | Path | Packed) else image
    return Loaded(input_pixels(image, preprocessing), ImageSize(*image.size), image=kept)
