"""The slow part of `check_data`: every file is opened, its bytes and its pixels looked at."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool

import numpy as np

from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.data.catalog import Sample

_THREADS = 16
# Handing over one image costs as much as looking at a small array: several at a time.
_CHUNK = 32


@dataclass(frozen=True)
class Duplicate:
    """Images with the same bytes.

    Attributes:
        names: Of the samples, in the order of the data set.
        splits: Of each.
        labels: Of each.
    """

    names: tuple[str, ...]
    splits: tuple[str | None, ...]
    labels: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Inspection:
    """What opening the files showed.

    Attributes:
        sizes: (width, height), upright, of every image that was decoded.
        broken: (name, reason) of images that are missing, empty or cannot be decoded.
        duplicates: Groups of equal images.
        misboxed: Names of images with a box that is empty or reaches outside by over a pixel.
    """

    sizes: tuple[tuple[int, int], ...]
    broken: tuple[tuple[str, str], ...]
    duplicates: tuple[Duplicate, ...]
    misboxed: tuple[str, ...]


def inspect_samples(
    samples: Sequence[Sample],
    *,
    decode: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> Inspection:
    """Decode the images (or only ask for the files), and compare their bytes.

    Args:
        samples: Of one data set.
        decode: Decode in threads: Pillow lets others run meanwhile.
        progress: Called with (done, total) after each image, in this thread.
    """
    sizes, broken, misboxed = [], [], []
    with ThreadPool(min(_THREADS, os.cpu_count() or 1)) as pool:
        looked = pool.imap(_decode if decode else _exists, samples, _CHUNK)
        for done, (sample, found) in enumerate(zip(samples, looked, strict=True), 1):
            if isinstance(found, str):
                broken.append((sample.name, found))
            elif found is not None:
                sizes.append(found)
                if not all(_within(box, found) for _, box in sample.boxes):
                    misboxed.append(sample.name)
            if progress is not None:
                progress(done, len(samples))
        duplicates = _duplicates(samples, pool)
    return Inspection(tuple(sizes), tuple(broken), duplicates, tuple(misboxed))


def _decode(sample: Sample) -> tuple[int, int] | str:
    """The size, or the reason why there is none."""
    if isinstance(sample.source, np.ndarray):
        return sample.source.shape[1], sample.source.shape[0]
    try:
        return load_image(sample.source).size
    except LookcloserError as error:
        # The name stands beside it in the report.
        return str(error).removeprefix(f"{sample.source}: ")


def _exists(sample: Sample) -> str | None:
    if isinstance(sample.source, np.ndarray) or _bytes(sample):
        return None
    return "the file is empty" if sample.source.is_file() else "not found"


def _within(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    # One pixel of tolerance: published boxes are rounded this way and that.
    x0, y0, x1, y1 = box
    return -1 <= x0 < x1 <= size[0] + 1 and -1 <= y0 < y1 <= size[1] + 1


def _duplicates(samples: Sequence[Sample], pool: ThreadPool) -> tuple[Duplicate, ...]:
    """Only images of equal length are read and hashed: most differ already there."""
    by_length: dict[int, list[Sample]] = defaultdict(list)
    for sample, length in zip(samples, map(_bytes, samples), strict=True):
        if length:
            by_length[length].append(sample)
    suspects = [sample for group in by_length.values() if len(group) > 1 for sample in group]
    equal: dict[bytes, list[Sample]] = defaultdict(list)
    for sample, digest in zip(suspects, pool.imap(_digest, suspects, _CHUNK), strict=True):
        if digest is not None:
            equal[digest].append(sample)
    return tuple(
        Duplicate(
            names=tuple(sample.name for sample in group),
            splits=tuple(sample.split for sample in group),
            labels=tuple(sample.labels for sample in group),
        )
        for group in equal.values()
        if len(group) > 1
    )


def _bytes(sample: Sample) -> int:
    """Length of the file or the array in bytes; 0 where there is no file."""
    if isinstance(sample.source, np.ndarray):
        return sample.source.nbytes
    try:
        return os.stat(sample.source).st_size
    except OSError:
        return 0


def _digest(sample: Sample) -> bytes | None:
    if isinstance(sample.source, np.ndarray):
        shape = repr(sample.source.shape).encode()
        return hashlib.blake2b(shape + sample.source.tobytes()).digest()
    try:
        with sample.source.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
