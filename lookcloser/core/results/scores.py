"""Scores with what belongs to them, so that no name has to be taken apart to know what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookcloser.core.types import Answer

CENTER_BOX, RANDOM_MAP = "center box", "random map"
BASELINES = (CENTER_BOX, RANDOM_MAP)

# Between words: two lower-case letters and then a capital, so that "mAP" and "PxAP" stay whole.
_WORD_END = re.compile(r"(?<=[a-z][a-z])(?=[A-Z])")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """One number that an evaluation found.

    Attributes:
        name: The field's name for it, e.g. "MaxBoxAcc@0.5".
        value: The number.
        interval: (low, high) of its 95 % bootstrap interval, or None.
        baselines: The same score of a guess, by its name; those of this package are `BASELINES`.
        higher_is_better: False for an error or a loss; None where neither end is better.
        is_share: Whether it is a share in [0, 1], to be shown in percent.
        of_evidence: Whether it says where the model looked, not what it answered.
    """

    name: str
    value: float
    interval: Interval | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    higher_is_better: bool | None = field(kw_only=True)
    is_share: bool = field(default=True, kw_only=True)
    of_evidence: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, eq=False)
class Tally:
    """All images of a split in numbers, also those whose answers are not kept.

    Attributes:
        correct: bool (N,), whether the answer is right.
        losses: (N,) as in `Answer`.
        ious: (N,) as in `Answer`, NaN where there is none.
        boxed: How many images have true boxes.
        numbers: (K,) which of the N images each kept answer is of.
    """

    correct: NDArray[np.bool_]
    losses: NDArray[np.float64]
    ious: NDArray[np.float64]
    boxed: int
    numbers: tuple[int, ...]


def tally_of(answers: Sequence[Answer]) -> Tally:
    """The numbers of answers that are all there; those that failed are left out."""
    import numpy as np

    read = [
        (number, answer) for number, answer in enumerate(answers) if answer.prediction.error is None
    ]
    nan = float("nan")
    return Tally(
        np.array([answer.correct for _, answer in read], dtype=bool),
        np.array([answer.loss for _, answer in read], dtype=np.float64),
        np.array([nan if a.iou is None else a.iou for _, a in read], dtype=np.float64),
        sum(bool(answer.boxes) for _, answer in read),
        tuple(range(len(answers))),
    )


def flat_scores(scores: Iterable[Score]) -> dict[str, float]:
    """Values by name; a baseline as "NAME center box"."""
    values: dict[str, float] = {}
    for score in scores:
        values[score.name] = score.value
        values |= {f"{score.name} {base}": value for base, value in score.baselines.items()}
    return values


def json_key(name: str) -> str:
    """A name as a key in snake case: "MaxBoxAcc@0.5" -> "max_box_acc_0_5"."""
    words = _WORD_END.sub("_", name).lower()
    return re.sub(r"[^a-z0-9]+", "_", words).strip("_")
