"""What tags and captions are like: how many, how even, and what goes together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from lookcloser.core.choices import TRAITS
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.vocabulary import tokenize

RARE_BELOW = 5
"""Words that occur fewer times are rare: captioners commonly leave them out."""

_PAIRS = 20

Range = tuple[int, float, int]


@dataclass(frozen=True)
class TagPair:
    """Two tags that occur together more often than by chance.

    Attributes:
        first: The rarer of the two.
        second: The other.
        images: With both.
        second_given_first: Share of the images with ``first`` that have ``second``.
        first_given_second: Likewise the other way round.
        lift: Images with both over those expected if the tags were independent.
        strength: Log-likelihood ratio of dependence against independence, in nats, times 2 (G² of
            the 2 × 2 table; Dunning, 1993). Grows with lift and with the number of images, so that
            one image with two rare tags comes last.
    """

    first: str
    second: str
    images: int
    second_given_first: float
    first_given_second: float
    lift: float
    strength: float


@dataclass(frozen=True)
class TagStatistics:
    """The tags of a data set.

    Attributes:
        images: Images per tag over all splits, the most frequent first.
        per_image: (minimum, mean, maximum) tags of an image.
        untagged: Images without tags per split.
        untrained: Tags that no training image has.
        pairs: The strongest `TagPair` of all splits together, at most 20.
    """

    images: dict[str, int]
    per_image: Range
    untagged: dict[str, int]
    untrained: tuple[str, ...]
    pairs: tuple[TagPair, ...]


@dataclass(frozen=True)
class CaptionStatistics:
    """The captions of a data set, in words as `tokenize` makes them.

    Attributes:
        captions: How many.
        per_image: (minimum, mean, maximum) captions of an image.
        words: (minimum, mean, maximum) words of a caption.
        vocabulary: Different words.
        rare: Of these, the words that occur fewer than `RARE_BELOW` times.
        rare_share: ``rare`` over ``vocabulary``.
        rare_text_share: Share of the running text that rare words make up.
    """

    captions: int
    per_image: Range
    words: Range
    vocabulary: int
    rare: int
    rare_share: float
    rare_text_share: float


def tag_statistics(catalog: Catalog) -> TagStatistics | None:
    """Count tags and their pairs; None where the task is another or there are no images."""
    samples = catalog.samples
    if TRAITS[catalog.task].labels != "some" or not samples:
        return None
    images = Counter(name for sample in samples for name in sample.labels)
    trained = {name for sample in samples if sample.split == "train" for name in sample.labels}
    return TagStatistics(
        images={name: images[name] for name in sorted(catalog.names, key=lambda n: -images[n])},
        per_image=_range([len(sample.labels) for sample in samples]),
        untagged={
            split: sum(not sample.labels for sample in catalog.split(split))
            for split in catalog.splits
        },
        untrained=tuple(name for name in catalog.names if name not in trained),
        pairs=_strongest(samples, images),
    )


def caption_statistics(catalog: Catalog) -> CaptionStatistics | None:
    """Count captions and words; None where the task is another or there are no captions."""
    captions = [caption for sample in catalog.samples for caption in sample.captions]
    if TRAITS[catalog.task].labels != "words" or not captions:
        return None
    words = [tokenize(caption) for caption in captions]
    frequency = Counter(word for sentence in words for word in sentence)
    rare = [number for number in frequency.values() if number < RARE_BELOW]
    return CaptionStatistics(
        captions=len(captions),
        per_image=_range([len(sample.captions) for sample in catalog.samples]),
        words=_range([len(sentence) for sentence in words]),
        vocabulary=len(frequency),
        rare=len(rare),
        rare_share=len(rare) / max(len(frequency), 1),
        rare_text_share=sum(rare) / max(frequency.total(), 1),
    )


def _range(values: Sequence[int]) -> Range:
    return min(values), sum(values) / len(values), max(values)


def _strongest(samples: Iterable[Sample], images: Counter[str]) -> tuple[TagPair, ...]:
    total, together = 0, Counter[tuple[str, str]]()
    for sample in samples:
        total += 1
        together.update(combinations(sorted(sample.labels, key=lambda n: (images[n], n)), 2))
    pairs = (
        TagPair(
            first=first,
            second=second,
            images=both,
            second_given_first=both / images[first],
            first_given_second=both / images[second],
            lift=both * total / (images[first] * images[second]),
            strength=_strength(both, images[first], images[second], total),
        )
        for (first, second), both in together.items()
        if both * total > images[first] * images[second]
    )
    return tuple(sorted(pairs, key=lambda p: (-p.strength, p.first, p.second))[:_PAIRS])


def _strength(both: int, first: int, second: int, total: int) -> float:
    """G² = 2 Σ observed · ln(observed / expected) over the four cells, empty cells counting 0."""
    rows, columns = (first, total - first), (second, total - second)
    cells = ((both, first - both), (second - both, total - first - second + both))
    return 2 * sum(
        cell * math.log(cell * total / (rows[i] * columns[j]))
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if cell
    )
