"""The answers of an evaluation that keep their evidence, and the numbers of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.results.galleries import places
from lookcloser.core.results.scores import Tally
from lookcloser.core.types import Answer

Floats = NDArray[np.float64]


class KeptAnswers:
    """Answers that come batch by batch, of which those stay that a gallery would show.

    Which galleries there are is in `lookcloser.core.results.galleries`. What stays is what `choose`
    would take of all answers, for any limit up to this one.

    Args:
        limit: How many of each gallery; None keeps every answer, 0 none.
        flagged: As in `lookcloser.core.results.galleries.choose`.
    """

    def __init__(self, limit: int | None, flagged: Sequence[str] = ()) -> None:
        self.limit = limit
        self._places = [
            place
            for key, each in places(flagged=flagged).items()
            for place in each
            if key != "misplaced"  # the threshold may not be known yet
        ]
        self._answers: list[Answer] = []
        self._numbers: list[int] = []
        self._ious: list[Floats] = []
        self._keys: list[list[float]] = []
        self._correct: list[NDArray[np.bool_]] = []
        self._losses: list[Floats] = []
        self._boxed = 0

    @property
    def count(self) -> int:
        """How many images there were so far."""
        return sum(map(len, self._correct))

    def add(
        self,
        correct: NDArray[np.bool_],
        losses: NDArray[np.floating],
        boxed: int,
        ious: Floats,
        answers: Sequence[Answer],
    ) -> None:
        """Count a batch.

        Args:
            correct: (B,) as in `Tally`.
            losses: (B,)
            boxed: How many of the images have true boxes.
            ious: (B, L) the IoU of each at some levels, NaN where it has none.
            answers: The B answers; not looked at where none is kept.
        """
        first = self.count
        self._correct.append(correct)
        self._losses.append(np.asarray(losses, dtype=np.float64))
        self._boxed += boxed
        if self.limit == 0:
            return
        for number, (answer, own) in enumerate(zip(answers, ious, strict=True), first):
            self._answers.append(answer)
            self._numbers.append(number)
            self._ious.append(own)
            self._keys.append([place(answer, number) for place in self._places])
        if self.limit is not None:
            self._drop(self.limit)

    def result(self, ious: Floats, level: int) -> tuple[tuple[Answer, ...], Tally]:
        """The kept answers with their IoUs, and the numbers of all.

        Args:
            ious: (N,) of all images at the level chosen, NaN where there is none.
            level: The column of the IoUs given to `add` that was chosen.
        """
        tally = Tally(
            np.concatenate(self._correct), np.concatenate(self._losses), ious, self._boxed,
            tuple(self._numbers),
        )  # fmt: skip
        answers = tuple(
            answer if np.isnan(own[level]) else replace(answer, iou=float(own[level]))
            for answer, own in zip(self._answers, self._ious, strict=True)
        )
        return answers, tally

    def _drop(self, limit: int) -> None:
        """Forget the answers that are among the first ``limit`` of no gallery."""
        table = np.concatenate([np.array(self._keys), np.array(self._ious)], axis=1)
        order = np.argsort(table, axis=0, kind="stable")[:limit]  # NaN comes last
        shown = ~np.isnan(np.take_along_axis(table, order, axis=0))
        kept = np.unique(order[shown]).tolist()
        self._answers = [self._answers[row] for row in kept]
        self._numbers = [self._numbers[row] for row in kept]
        self._ious = [self._ious[row] for row in kept]
        self._keys = [self._keys[row] for row in kept]
