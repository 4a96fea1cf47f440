"""Which answers are worth looking at."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from lookcloser.core.types import Answer


@dataclass(frozen=True)
class Gallery:
    """A named choice of answers, as positions in the evaluation, the most telling first."""

    key: str
    title: str
    note: str
    members: tuple[int, ...]


def choose(
    answers: Sequence[Answer], limit: int, seed: int = 0, flagged: Sequence[str] = ()
) -> list[Gallery]:
    """The galleries of an evaluation, at most ``limit`` answers each; empty ones are left out.

    Pictures that could not be read are in none of them.

    Args:
        answers: Of the evaluation, in its order.
        limit: How many of each gallery.
        seed: Of the random sample.
        flagged: Classes that an audit found suspicious, the most suspicious first.
    """
    shown = [i for i, answer in enumerate(answers) if answer.prediction.error is None]
    wrong = [i for i in shown if not answers[i].correct]
    right = [i for i in shown if answers[i].correct]
    placed = [i for i in shown if answers[i].iou is not None]
    scored = any(answers[i].prediction.labels for i in shown)

    by_loss = sorted(wrong, key=lambda i: -answers[i].loss)
    by_confidence = {
        "wrong": sorted(wrong, key=lambda i: -confidence(answers[i])) if scored else [],
        "right": sorted(right, key=lambda i: -confidence(answers[i])) if scored else [],
    }
    by_iou = sorted(placed, key=lambda i: answers[i].iou or 0.0)
    sample = random.Random(seed).sample(shown, min(limit, len(shown)))
    galleries = (
        ("worst", "Worst mistakes", "Wrong answers, highest loss first.", by_loss),
        (
            "wrong",
            "Wrong and confident",
            "Wrong answers, surest first: what the model believes and should not.",
            by_confidence["wrong"],
        ),
        (
            "right",
            "Right and confident",
            "Right answers, surest first: is the evidence on the thing itself?",
            by_confidence["right"],
        ),
        (
            "suspicious",
            "Suspicious",
            "Answers of the classes that the audit flagged, surest first, the classes in turn: is "
            "the evidence on the thing, or beside it?",
            _suspicious(shown, answers, flagged),
        ),
        (
            "misplaced",
            "Lowest IoU",
            "The boxes of what is true overlap the true boxes least.",
            by_iou,
        ),
        ("random", "Random sample", f"Drawn at random with seed {seed}.", sample),
    )
    return [
        Gallery(key, title, note, tuple(members[:limit]))
        for key, title, note, members in galleries
        if members
    ]


def _suspicious(
    shown: Sequence[int], answers: Sequence[Answer], flagged: Sequence[str]
) -> list[int]:
    """The pictures that were given each flagged class, surest first, the classes in turn."""
    turns = []
    for name in flagged:
        given = [
            i for i in shown if [label.name for label in answers[i].prediction.labels[:1]] == [name]
        ]
        given.sort(key=lambda i: -confidence(answers[i]))
        turns.append(given)
    return [i for turn in zip_longest(*turns) for i in turn if i is not None]


def confidence(answer: Answer) -> float:
    """The score of the best label; 0 where there are no labels."""
    labels = answer.prediction.labels
    return labels[0].score if labels else 0.0
