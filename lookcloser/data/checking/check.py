"""`check_data`: what a data set holds and what is wrong with it, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.wording import count, encodable, named, some
from lookcloser.data.catalog import Catalog
from lookcloser.data.checking.inspection import Duplicate, Inspection, inspect_samples
from lookcloser.data.checking.masks import MaskCheck, check_masks
from lookcloser.data.checking.statistics import (
    CaptionStatistics,
    TagStatistics,
    caption_statistics,
    tag_statistics,
)
from lookcloser.data.checking.unread import unread
from lookcloser.data.checking.validation import obstacles

_UNBALANCED = 10.0


@dataclass(frozen=True)
class Problem:
    """One finding: "error" stops training, "warning" spoils results, "note" is good to know."""

    severity: Literal["error", "warning", "note"]
    text: str


@dataclass(frozen=True)
class Balance:
    """How evenly the images of one split are spread over the classes.

    Attributes:
        ratio: Images of the largest class over those of the smallest; None where one has none.
        effective_classes: exp(entropy of the class shares): how many classes of equal size would
            be as diverse. The number of classes where all have the same size.
    """

    ratio: float | None
    effective_classes: float


@dataclass(frozen=True, eq=False)
class DataReport:
    """The answer of `check_data`.

    Attributes:
        root: The data folder.
        layout: What it was recognized as.
        task: "classification", "multilabel" or "captioning".
        images: Images per split.
        counts: Images per split and class or tag; none for captions.
        balance: Per split, where there are classes.
        widths: (minimum, median, maximum) of the decoded images in pixels; None without any.
        heights: Likewise.
        boxes: Number of boxes.
        masks: What is beside the images for scoring; None without a folder of masks.
        tags: Of a multilabel data set.
        captions: Of a captioning data set.
        broken: (name, reason) of images that are missing or cannot be decoded.
        duplicates: Groups of images with the same bytes.
        near_duplicates: Pairs of images of different splits that are nearly the same.
        skipped: (name, reason) of what reading left out.
        notes: How the data was understood.
        unread: What lies in the folder and is no part of the data set, in sentences.
        parents: Class or group -> the group above it, where classes have groups.
        problems: Errors first, then warnings, then notes.
    """

    root: str
    layout: str
    task: Task
    images: dict[str, int]
    counts: dict[str, dict[str, int]]
    balance: dict[str, Balance]
    widths: tuple[int, float, int] | None
    heights: tuple[int, float, int] | None
    boxes: int
    masks: MaskCheck | None
    tags: TagStatistics | None
    captions: CaptionStatistics | None
    broken: tuple[tuple[str, str], ...]
    duplicates: tuple[Duplicate, ...]
    near_duplicates: tuple[Duplicate, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    unread: tuple[str, ...]
    parents: dict[str, str]
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: strings, numbers, lists, dicts and None only."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def check_data(
    catalog: Catalog, *, decode: bool = True, progress: Callable[[int, int], object] | None = None
) -> DataReport:
    """Look at every image of a data set.

    Args:
        catalog: From `read_data`.
        decode: Decode every image, in threads; else only find missing, empty and equal files.
        progress: Called with (done, total) after each image, in the calling thread.

    Returns:
        The report. Problems are listed there, not raised.
    """
    seen = inspect_samples(catalog.samples, decode=decode, progress=progress)
    masks = check_masks(catalog.root, catalog.samples, seen.sizes)
    counts, tags, left = _counts(catalog), tag_statistics(catalog), unread(catalog)
    return DataReport(
        root=encodable(str(catalog.root)),
        layout=catalog.layout,
        task=catalog.task,
        images={split: len(catalog.split(split)) for split in catalog.splits},
        counts=counts,
        balance={split: _balance(of) for split, of in counts.items() if any(of.values())},
        widths=_spread([width for width, _ in seen.sizes.values()]),
        heights=_spread([height for _, height in seen.sizes.values()]),
        boxes=sum(len(sample.boxes) for sample in catalog.samples),
        masks=masks,
        tags=tags,
        captions=caption_statistics(catalog),
        broken=seen.broken,
        duplicates=seen.duplicates,
        skipped=catalog.skipped,
        notes=catalog.notes,
        near_duplicates=seen.near,
        unread=left,
        parents=dict(catalog.parents),
        problems=(
            *(Problem("error", str(obstacle)) for obstacle in obstacles(catalog)),
            *(Problem("warning", text) for text in _warnings(catalog, seen)),
            *(Problem("warning", text) for text in _tag_warnings(catalog, tags)),
            *(Problem("warning", text) for text in (masks.warnings() if masks else ())),
            *(Problem("warning", f"{text}.") for text in left),
            *(Problem("note", text) for text in _remarks(catalog, counts, seen)),
            *(Problem("note", text) for text in _tag_remarks(tags)),
        ),
    )


def _warnings(catalog: Catalog, seen: Inspection) -> Iterator[str]:
    if seen.broken:
        broken = [name for name, _ in seen.broken]
        yield f"{some(broken, 'image')} cannot be read; training leaves them out."
    leaks = [group for group in seen.duplicates if len(set(group.splits)) > 1]
    if leaks:
        first = zip(leaks[0].names, leaks[0].splits, strict=True)
        yield (
            f"{count(len(leaks), 'image')} in more than one split, which flatters the scores: "
            f"{named([f'{name} ({split})' for name, split in first])}."
        )
    torn = [group for group in seen.duplicates if len(set(group.labels)) > 1]
    if torn:
        yield (
            f"{count(len(torn), 'image')} with more than one answer: the same file as "
            f"{named(torn[0].names)}."
        )
    if seen.misboxed:
        yield f"{some(seen.misboxed, 'image')} with boxes that are empty or reach outside."
    if seen.near:
        first = zip(seen.near[0].names, seen.near[0].splits, strict=True)
        yield (
            f"{count(len(seen.near), 'image')} nearly the same as one of another split, which "
            f"flatters the scores: {named([f'{name} ({split})' for name, split in first])}."
        )
    if seen.tiny:
        yield f"{some(seen.tiny, 'image')} far smaller than the others: there is little to see."
    if catalog.skipped:
        listed = [name for name, _ in catalog.skipped]
        yield (
            f"{some(listed, 'listed image')} missing ({catalog.skipped[0][1]}): training needs "
            "--skip-missing."
        )


def _tag_warnings(catalog: Catalog, tags: TagStatistics | None) -> Iterator[str]:
    if tags is None or "train" not in catalog.splits:
        return
    if tags.untrained:
        yield (
            f"No image to train on of {count(len(tags.untrained), 'tag')} "
            f"({named(tags.untrained)}): scores of these mean nothing."
        )
    train, counts = len(catalog.split("train")), catalog.counts()["train"]
    everywhere = [name for name, images in counts.items() if images == train]
    if everywhere and len(counts) > 1:
        yield f"Every training image has {named(everywhere)}: there is nothing to learn there."


def _tag_remarks(tags: TagStatistics | None) -> Iterator[str]:
    if tags is None:
        return
    single = [name for name, images in tags.images.items() if images == 1]
    if single:
        yield f"{some(single, 'tag')} on one image only: learned from or tested on, never both."
    untagged = sum(tags.untagged.values())
    if untagged:
        yield f"{count(untagged, 'image')} without tags: taken as showing none of them."


def _remarks(
    catalog: Catalog, counts: dict[str, dict[str, int]], seen: Inspection
) -> Iterator[str]:
    kind = "Tags" if TRAITS[catalog.task].labels == "some" else "Classes"
    for split, of in counts.items():
        lacking = [name for name, images in of.items() if images == 0]
        if lacking and split != "train":
            yield f"{split} has no image of {named(lacking)}."
        ratio = _balance(of).ratio if any(of.values()) else None
        if split == "train" and ratio is not None and ratio >= _UNBALANCED:
            yield (
                f"{kind} are uneven: the largest has {ratio:.0f} times the images of the smallest."
            )
    repeated = [group for group in seen.duplicates if len(set(group.splits)) < len(group.splits)]
    if repeated:
        yield (
            f"{count(len(repeated), 'image')} more than once in one split: "
            f"{named(repeated[0].names)}."
        )


def _counts(catalog: Catalog) -> dict[str, dict[str, int]]:
    """Images per split and class; of captions none, whose names are words."""
    if TRAITS[catalog.task].labels == "words":
        return {split: {} for split in catalog.splits}
    return catalog.counts()


def _balance(counts: dict[str, int]) -> Balance:
    images = np.array(list(counts.values()), dtype=float)
    shares = images[images > 0] / images.sum()
    return Balance(
        ratio=float(images.max() / images.min()) if images.min() > 0 else None,
        effective_classes=float(np.exp(-(shares * np.log(shares)).sum())),
    )


def _spread(values: list[int]) -> tuple[int, float, int] | None:
    return (min(values), float(np.median(values)), max(values)) if values else None
