"""The slow part of `check_data`: every file is opened, its bytes and its pixels looked at."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from statistics import median

import numpy as np

from lookcloser.core.archives import Packed
from lookcloser.core.errors import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.data.catalog import Sample
from lookcloser.data.checking.similarity import Print, fingerprint, nearly_equal

_THREADS = 16
# Handing over one image costs as much as looking at a small array: several at a time.
_CHUNK = 32
_FEW_PIXELS = 4


@dataclass(frozen=True)
class Duplicate:
    """Images with the same bytes, or nearly the same pixels.

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
        sizes: Upright, of every image that was decoded, by name.
        broken: (name, reason) of images that are missing, empty or cannot be decoded.
        duplicates: Groups of equal images.
        near: Pairs of images of different splits that are nearly the same, and not equal.
        tiny: Names of images that are far smaller than the others.
        misboxed: Names of images with a box that is empty or reaches outside by over a pixel.
    """

    sizes: dict[str, ImageSize]
    broken: tuple[tuple[str, str], ...]
    duplicates: tuple[Duplicate, ...]
    near: tuple[Duplicate, ...]
    tiny: tuple[str, ...]
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
    sizes, broken, misboxed = dict[str, ImageSize](), [], []
    prints: list[Print | None] = [None] * len(samples)
    with ThreadPool(min(_THREADS, os.cpu_count() or 1)) as pool:
        looked = pool.imap(_decode if decode else _exists, samples, _CHUNK)
        for done, (sample, found) in enumerate(zip(samples, looked, strict=True), 1):
            if isinstance(found, str):
                broken.append((sample.name, found))
            elif found is not None:
                sizes[sample.name], prints[done - 1] = found
                if not all(_within(box, found[0]) for _, box in sample.boxes):
                    misboxed.append(sample.name)
            if progress is not None:
                progress(done, len(samples))
        unreadable = {name for name, _ in broken}  # downloads fail alike: copies of no image
        duplicates = _duplicates([one for one in samples if one.name not in unreadable], pool)
    return Inspection(
        sizes=sizes,
        broken=tuple(broken),
        duplicates=duplicates,
        near=_near(samples, prints, duplicates),
        tiny=_tiny(sizes),
        misboxed=tuple(misboxed),
    )


def _tiny(sizes: dict[str, ImageSize]) -> tuple[str, ...]:
    """Images of which a side is below a tenth of the usual one, or of a few pixels."""
    sides = {name: min(size) for name, size in sizes.items()}
    limit = max(_FEW_PIXELS, median(sides.values()) / 10) if sides else 0
    return tuple(name for name, side in sides.items() if side < limit)


def _near(
    samples: Sequence[Sample], prints: Sequence[Print | None], equal: Sequence[Duplicate]
) -> tuple[Duplicate, ...]:
    same = {name: number for number, group in enumerate(equal) for name in group.names}
    pairs = nearly_equal(prints, [sample.split for sample in samples])
    found = ((samples[first], samples[second]) for first, second in pairs)
    return tuple(
        _group(pair)
        for pair in found
        if pair[0].name not in same or same[pair[0].name] != same.get(pair[1].name)
    )


def _group(samples: Sequence[Sample]) -> Duplicate:
    return Duplicate(
        names=tuple(sample.name for sample in samples),
        splits=tuple(sample.split for sample in samples),
        labels=tuple(sample.labels for sample in samples),
    )


def _decode(sample: Sample) -> tuple[ImageSize, Print | None] | str:
    """The size and a fingerprint, or the reason why there is neither."""
    if isinstance(sample.source, np.ndarray):
        # Tiny digits and the like: many are nearly the same without being copies.
        return Grid(*sample.source.shape[:2]).image_size, None
    try:
        image = load_image(sample.source)
        return ImageSize(*image.size), fingerprint(image)
    except LookcloserError as error:
        # The name stands beside it in the report.
        return str(error).removeprefix(f"{sample.source}: ")


def _exists(sample: Sample) -> str | None:
    if sample.stored_bytes:
        return None
    is_there = not isinstance(sample.source, Path) or sample.source.is_file()
    return "the file is empty" if is_there else "not found"


def _within(box: tuple[float, float, float, float], size: ImageSize) -> bool:
    # One pixel of tolerance: published boxes are rounded this way and that.
    x0, y0, x1, y1 = box
    return -1 <= x0 < x1 <= size[0] + 1 and -1 <= y0 < y1 <= size[1] + 1


def _duplicates(samples: Sequence[Sample], pool: ThreadPool) -> tuple[Duplicate, ...]:
    """Only images of equal length are read and hashed: most differ already there."""
    by_length: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if length := sample.stored_bytes:
            by_length[length].append(sample)
    suspects = [sample for group in by_length.values() if len(group) > 1 for sample in group]
    equal: dict[bytes, list[Sample]] = defaultdict(list)
    for sample, digest in zip(suspects, pool.imap(_digest, suspects, _CHUNK), strict=True):
        if digest is not None:
            equal[digest].append(sample)
    return tuple(_group(group) for group in equal.values() if len(group) > 1)


def _digest(sample: Sample) -> bytes | None:
    if isinstance(sample.source, np.ndarray):
        shape = repr(sample.source.shape).encode()
        return hashlib.blake2b(shape + sample.source.tobytes()).digest()
    try:
        if isinstance(sample.source, Packed):
            return hashlib.blake2b(sample.source.read()).digest()
        with sample.source.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except (OSError, LookcloserError):
        return None
