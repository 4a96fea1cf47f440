"""Which answers are worth looking at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from lookcloser.core.types import Answer

MOST = 24  # answers of a gallery

Place = Callable[[Answer, int], float]


@dataclass(frozen=True)
class Gallery:
    """A named choice of answers, as positions in the evaluation, the most telling first."""

    key: str
    title: str
    note: str
    members: tuple[int, ...]


def choose(
    answers: Sequence[Answer],
    limit: int = MOST,
    seed: int = 0,
    flagged: Sequence[str] = (),
    numbers: Sequence[int] | None = None,
) -> list[Gallery]:
    """The galleries of an evaluation, at most ``limit`` answers each; empty ones are left out.

    Images that could not be read are in none of them.

    Args:
        answers: Of the evaluation, in its order.
        limit: How many of each gallery.
        seed: Of the random sample.
        flagged: Classes that an audit found suspicious, the most suspicious first.
        numbers: Which image of the split each answer is of, where not all are there: the random
            sample depends on it.
    """
    which = range(len(answers)) if numbers is None else numbers
    galleries = []
    for key, (title, note) in _GALLERIES.items():
        turns = []
        for place in places(seed, flagged)[key]:
            values = [place(a, number) for a, number in zip(answers, which, strict=True)]
            taken = [index for index, value in enumerate(values) if not math.isnan(value)]
            turns.append(sorted(taken, key=values.__getitem__))
        members = [i for turn in zip_longest(*turns) for i in turn if i is not None][:limit]
        if members:
            galleries.append(Gallery(key, title, note.format(seed=seed), tuple(members)))
    return galleries


def places(seed: int = 0, flagged: Sequence[str] = ()) -> dict[str, list[Place]]:
    """What puts the answers of each gallery in order: the lowest come first, NaN is not in it.

    A gallery with several takes from each in turn.
    """
    found: dict[str, list[Place]] = {
        "worst": [lambda answer, _: math.nan if answer.correct else -answer.loss],
        "wrong": [lambda answer, _: math.nan if answer.correct else _doubt(answer)],
        "right": [lambda answer, _: _doubt(answer) if answer.correct else math.nan],
        "suspicious": [_given(name) for name in flagged],
        "misplaced": [lambda answer, _: math.nan if answer.iou is None else answer.iou],
        "random": [lambda _, number: drawn(seed, number)],
    }
    return {key: [_of_readable(place) for place in each] for key, each in found.items()}


def confidence(answer: Answer) -> float:
    """The score of the best label; 0 where there are no labels."""
    labels = answer.prediction.labels
    return labels[0].score if labels else 0.0


def drawn(seed: int, number: int) -> float:
    """A number in [0, 1) for one image of a split, whatever the others are."""
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _doubt(answer: Answer) -> float:
    """Less for surer answers; NaN without labels, as those of captions."""
    return -confidence(answer) if answer.prediction.labels else math.nan


def _given(name: str) -> Place:
    """The images that were given a class, surest first."""

    def place(answer: Answer, _number: int) -> float:
        best = [label.name for label in answer.prediction.labels[:1]]
        return _doubt(answer) if best == [name] else math.nan

    return place


def _of_readable(place: Place) -> Place:
    def checked(answer: Answer, number: int) -> float:
        return math.nan if answer.prediction.error is not None else place(answer, number)

    return checked


_GALLERIES = {
    "worst": ("Worst mistakes", "Wrong answers, highest loss first."),
    "wrong": (
        "Wrong and confident",
        "Wrong answers, surest first: what the model believes and should not.",
    ),
    "right": (
        "Right and confident",
        "Right answers, surest first: is the evidence on the thing itself?",
    ),
    "suspicious": (
        "Suspicious",
        "Answers of the classes that the audit flagged, surest first, the classes in turn: is "
        "the evidence on the thing, or beside it?",
    ),
    "misplaced": ("Lowest IoU", "The boxes of what is true overlap the true boxes least."),
    "random": ("Random sample", "Drawn at random with seed {seed}."),
}
