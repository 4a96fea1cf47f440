"""The answer of a class that is not sure: the group of classes that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lookcloser.core.types import Label
from lookcloser.runtime.outputs import Floats

SURE = 0.5 - 1e-6  # as probable as all else together, but for rounding
_DIGITS = 6  # to which sums of probabilities are compared


def sure_group(scores: Floats, names: Sequence[str], parents: Mapping[str, str]) -> Label | None:
    """The lowest group that is at least as probable as not, where no class is.

    Args:
        scores: (C,) probabilities of one image.
        names: Of the classes.
        parents: Class or group -> the group above it.

    Returns:
        The group with the sum of its classes' probabilities, and -1 for its index; None where a
        class is sure, and where no group is.
    """
    if not parents or float(scores.max()) >= SURE:
        return None
    sums: dict[str, float] = {}
    for name, score in zip(names, scores.tolist(), strict=True):
        for group in groups_above(name, parents):
            sums[group] = sums.get(group, 0.0) + score
    sure = [group for group, score in sums.items() if score >= SURE]
    if not sure:
        return None

    def rank(group: str) -> tuple[int, float]:
        return len(list(groups_above(group, parents))), round(sums[group], _DIGITS)

    lowest = max(sure, key=rank)
    return Label(lowest, min(sums[lowest], 1.0), -1)


def groups_above(name: str, parents: Mapping[str, str]) -> Iterator[str]:
    """From the lowest to the highest; each once, whatever a file says."""
    seen = {name}
    while (name := parents.get(name, "")) and name not in seen:
        seen.add(name)
        yield name
