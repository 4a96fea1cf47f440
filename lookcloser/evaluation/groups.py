"""Scores of classes in groups: answers that name a group where no class is sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.header import ModelHeader
from lookcloser.core.results.scores import Score
from lookcloser.evaluation.loop import Columns
from lookcloser.runtime.groups import SURE, groups_above, sure_group

Floats = NDArray[np.floating]


def group_columns(
    probabilities: Floats, targets: NDArray[np.int64], header: ModelHeader
) -> dict[str, NDArray[np.generic]]:
    """What is kept of each image, (B,); nothing where no class has a group.

    Args:
        probabilities: (B, C).
        targets: (B,) true classes.
        header: Names of the classes, and their groups.

    Returns:
        "group right": whether the most probable group, directly above the classes, is the truth's.
        "sure": whether a class has half of the probability. "sure right": whether that is the
        true one. "rolled up": whether a group is named instead. "rolled right": whether the truth
        is in it.
    """
    if not header.parents:
        return {}
    names, parents = header.names, header.parents
    group_of, count = _numbered(names, parents)
    sums = probabilities @ np.eye(count)[group_of]
    best = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1) >= SURE
    named = [sure_group(row, names, parents) for row in probabilities]
    rows = zip(named, targets.tolist(), strict=True)
    return {
        "group right": sums.argmax(axis=1) == group_of[targets],
        "sure": sure,
        "sure right": sure & (best == targets),
        "rolled up": np.array([group is not None for group in named]),
        "rolled right": np.array(
            [
                group is not None and group.name in groups_above(names[target], parents)
                for group, target in rows
            ]
        ),
    }


def group_scores(columns: Columns) -> tuple[Score, ...]:
    """Accuracy of groups, how many answers are rolled up, and what both kinds of answers keep."""
    if "rolled up" not in columns:
        return ()
    sure, rolled = float(columns["sure"].mean()), float(columns["rolled up"].mean())
    better = {"top1 group": float(columns["group right"].mean())}
    if sure:
        better["top1 where sure"] = float(columns["sure right"].mean()) / sure
    if rolled:
        better["top1 rolled up"] = float(columns["rolled right"].mean()) / rolled
    shares = {"sure of a class": sure, "rolled up": rolled}
    return (
        *(Score(name, value, higher_is_better=True) for name, value in better.items()),
        # Neither is good as such: a model may be sure and wrong.
        *(Score(name, value, higher_is_better=None) for name, value in shares.items()),
    )


def _numbered(names: Sequence[str], parents: Mapping[str, str]) -> tuple[NDArray[np.int64], int]:
    """(C,) the number of the group directly above each class, and how many groups there are.

    A class that is in no group is one of its own.
    """
    above = [("group", parents[name]) if name in parents else ("class", name) for name in names]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(above))}
    return np.array([numbers[group] for group in above]), len(numbers)
