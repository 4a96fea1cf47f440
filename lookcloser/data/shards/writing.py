"""Writing a data set as shards: the same bytes for the same data, on any machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from lookcloser.core.archives import Packed
from lookcloser.core.archives.members import LARGEST_MEMBER
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.outputs import check_folder
from lookcloser.core.storage.atomic import make_folder, replacing, write_text
from lookcloser.core.storage.files import own_path
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import read_bytes
from lookcloser.data.shards.form import (
    FORMAT,
    INDEX,
    LARGEST_JSON,
    PHOTO_SUFFIXES,
    SUFFIX,
    sample_json,
)

_FEW = 10


@dataclass(frozen=True)
class Shards:
    """What was written.

    Attributes:
        folder: Where.
        files: The archives.
        images: How many there are in all.
        bytes: Of all archives.
        skipped: (name, reason) of the images that could not be read, and are in none.
    """

    folder: Path
    files: tuple[Path, ...]
    images: int
    bytes: int
    skipped: tuple[tuple[str, str], ...] = ()


def write_shards(
    catalog: Catalog,
    out: str | Path,
    *,
    per_shard: int = 1000,
    progress: Callable[[int, int], object] | None = None,
) -> Shards:
    """Write every image of a data set into tar archives, as its file is, without decoding it.

    Samples are numbered as the catalog has them, and spread over the archives by a hash of their
    names, so that each archive is a mixture; reading puts them back in order. Splits that the data
    does not bring along stay open: training makes them as it would of the files.

    Args:
        catalog: As it was read, before splits are made.
        out: A folder that is not there, empty, or in which this was begun before.
        per_shard: Images per shard.
        progress: Called with (done, total) images.

    Raises:
        LookcloserError: For a folder with other files in it, where no image can be read or more
            than ten and a tenth of them cannot, and when the operating system refuses to write.
    """
    if per_shard < 1:
        raise UsageError(f"{{}} {per_shard}: not possible", allowed="1 or more", option="per_shard")
    folder, samples = own_path(out), catalog.samples
    if not _was_begun(folder):
        check_folder(folder, "--out")
    make_folder(folder)
    order = sorted(range(len(samples)), key=lambda number: _rank(samples[number]))
    shards: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    _write_index(folder, catalog, shards, complete=False)
    for first in range(0, len(order), per_shard):
        own = sorted(order[first : first + per_shard])
        file = folder / f"shard-{len(shards):06d}{SUFFIX}"
        with replacing(file) as temporary:
            written = _write_archive(temporary, catalog, own, skipped)
        shards.append({"file": file.name, "count": written, "bytes": file.stat().st_size})
        if progress is not None:
            progress(first + len(own), len(order))
    _write_index(folder, catalog, shards, complete=True)
    files = tuple(folder / shard["file"] for shard in shards)
    for stale in set(folder.glob(f"shard-*{SUFFIX}")) - set(files):  # of other --per-shard before
        stale.unlink()
    images, size = (sum(shard[key] for shard in shards) for key in ("count", "bytes"))
    return Shards(folder, files, images, size, tuple(skipped.items()))


def _was_begun(folder: Path) -> bool:
    """Whether a break left its shards here, which are written again."""
    try:
        return json.loads((folder / INDEX).read_bytes())["complete"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _rank(sample: Sample) -> bytes:
    return hashlib.sha256(sample.name.encode("utf-8", "surrogateescape")).digest()


def _write_index(
    folder: Path, catalog: Catalog, shards: Sequence[dict[str, Any]], *, complete: bool
) -> None:
    values = {
        "format": FORMAT,
        "complete": complete,
        "task": catalog.task,
        "names": list(catalog.names),
        "parents": dict(catalog.parents),
        "shards": list(shards),
    }
    write_text(folder / INDEX, json.dumps(values, indent=1) + "\n")


def _write_archive(
    path: Path, catalog: Catalog, numbers: Sequence[int], skipped: dict[str, str]
) -> int:
    """Write an archive; returns how many images are in it, and adds the others to ``skipped``."""
    written = 0
    with (
        path.open("wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for number in numbers:
            sample = catalog.samples[number]
            answer = sample_json(sample, catalog.task)
            if len(answer) > LARGEST_JSON:
                raise LookcloserError(f"{sample.name}: its answer is larger than 1 MiB")
            try:
                suffix, content = _content(sample)
            except LookcloserError as error:
                skipped[sample.name] = str(error)
                if len(skipped) > _most_skipped(len(catalog.samples)):
                    raise
                continue
            written += 1
            for name, data in ((f"{number:09d}{suffix}", content), (f"{number:09d}.json", answer)):
                entry = tarfile.TarInfo(name)  # no time, no owner: they would change the bytes
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
    return written


def _most_skipped(images: int) -> int:
    """How many may be unreadable: more is a share that has gone, and no image is no data set."""
    return min(max(_FEW, images // 10), images - 1)


def _content(sample: Sample) -> tuple[str, bytes]:
    """The ending and the bytes of an image; pixels that were never a file become a PNG."""
    source = sample.source
    if isinstance(source, Packed):
        return _ending(source.name), source.read()
    if isinstance(source, Path):
        return _ending(source.name), read_bytes(source, LARGEST_MEMBER)
    buffer = io.BytesIO()
    Image.fromarray(source).save(buffer, "PNG")
    return ".png", buffer.getvalue()


def _ending(name: str) -> str:
    """By which readers know an image; what has another ending, or none, is known by its bytes."""
    ending = os.path.splitext(name)[1].lower()
    return ending if ending in PHOTO_SUFFIXES else ".jpg"
