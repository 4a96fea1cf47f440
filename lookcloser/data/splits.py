"""Splits that depend on the names of the files alone: the same anywhere, in any order."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from lookcloser.core.errors import UsageError
from lookcloser.data.catalog import Sample

_SPLITS = {
    "train": ("train", "training", "trainval", "trainset"),
    "val": ("val", "valid", "validation", "validate", "valset", "dev"),
    "test": ("test", "testing", "testset", "eval", "evaluation"),
}
SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}


def make_splits(
    samples: Sequence[Sample], *, seed: int = 0, val_share: float = 0.1, test_share: float = 0.2
) -> tuple[Sample, ...]:
    """Give every sample a split; splits that the data brings along are kept.

    - None given: test is carved out of everything, then val out of what is left for training.
    - Only train: likewise. Train and test: val is carved out of train. Train and val: kept.
    - No train at all (a test set on its own): kept.

    Carving is stratified: within each class the images are ranked by a hash of seed and name, and
    the first ones, ``share`` of them rounded, are taken, but never the last. An image that is added
    or removed therefore moves few others.

    Images with several labels are decided by their rarest, the rarest label of all first, and each
    label counts those of its images that went along with rarer ones (as in iterative
    stratification, Sechidis et al. 2011). Images without labels are a class of their own.

    Args:
        samples: Of one data set, in any order.
        seed: Another seed, other splits.
        val_share: In [0, 1), of the training images; 0 makes no val.
        test_share: In [0, 1), of all images; 0 makes no test.

    Returns:
        The samples in the same order, each with a split.

    Raises:
        LookcloserError: If a share is not in [0, 1).
    """
    for option, share in (("val_share", val_share), ("test_share", test_share)):
        if not 0 <= share < 1:
            raise UsageError(f"{option} {share:g}: not a share", allowed="At least 0, below 1")
    given = {sample.split for sample in samples} - {None}
    splits = [sample.split or "train" for sample in samples]
    digests = [_digest(sample.name, seed) for sample in samples]
    # Test and val are ranked by other halves of the hash, or a larger test would eat up val first.
    if given <= {"train"}:
        _carve(samples, splits, "test", test_share, [digest[:16] for digest in digests])
    if "val" not in given:
        _carve(samples, splits, "val", val_share, [digest[16:] for digest in digests])
    return tuple(
        sample if sample.split == split else replace(sample, split=split)
        for sample, split in zip(samples, splits, strict=True)
    )


def _carve(
    samples: Sequence[Sample], splits: list[str], target: str, share: float, ranks: list[bytes]
) -> None:
    """Move ``share`` of each label's training images to ``target``, in place in ``splits``."""
    labels = {
        index: set(sample.labels) or {""}
        for index, sample in enumerate(samples)
        if splits[index] == "train"
    }
    frequency = Counter(name for names in labels.values() for name in names)
    left, moved = Counter(frequency), Counter[str]()
    strata: dict[str, list[int]] = defaultdict(list)
    for index, names in labels.items():
        strata[min(names, key=lambda name: (frequency[name], name))].append(index)
    for rarest in sorted(strata, key=lambda name: (frequency[name], name)):
        # floor(x + 1/2) rather than round(), which would round 0.5 down and 1.5 up.
        quota = int(share * frequency[rarest] + 0.5)
        for index in sorted(strata[rarest], key=ranks.__getitem__):
            if moved[rarest] >= quota:
                break
            if all(left[name] > 1 for name in labels[index]):
                splits[index] = target
                left.subtract(labels[index])
                moved.update(labels[index])


def _digest(name: str, seed: int) -> bytes:
    # macOS hands out decomposed accents (NFD), Linux what was written: one form for the hash.
    name = unicodedata.normalize("NFC", name)
    # File names need not be valid text; Python keeps their odd bytes as surrogates.
    return hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()
