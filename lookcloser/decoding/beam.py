"""Batched beam search, and greedy decoding as its narrowest case."""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.decoding.states import quietly, row_count, select
from lookcloser.decoding.steps import advance, best_tokens, check_limits, masked
from lookcloser.decoding.types import Floats, Hypothesis, Integers, S, Step


class _Paths(NamedTuple):
    """A table of paths, best first: an empty place has the score -inf.

    ``scores`` is (images, places) in float64, ``tokens`` (images, places, max_length), filled up
    with END.
    """

    scores: Floats
    tokens: Integers

    @classmethod
    def empty(cls, images: int, places: int, max_length: int, end: int) -> _Paths:
        scores = np.full((images, places), -np.inf)
        return cls(scores, np.full((images, places, max_length), end, dtype=np.int64))

    def only(self, keep: NDArray[np.bool_]) -> _Paths:
        """Without the paths outside ``keep``, a mask that broadcasts to the scores."""
        return self._replace(scores=np.where(keep, self.scores, -np.inf))

    def where(self, keep: Any, others: _Paths) -> _Paths:
        """These paths for the images in ``keep`` (images, 1), else the ``others``."""
        scores = np.where(keep, self.scores, others.scores)
        return _Paths(scores, np.where(keep[..., None], self.tokens, others.tokens))

    def best_with(self, others: _Paths) -> _Paths:
        """The best of both; of equals the one that is here already."""
        scores = np.concatenate([self.scores, others.scores], axis=1)
        order = _best_first(scores)[:, : self.scores.shape[1]]
        tokens = np.concatenate([self.tokens, others.tokens], axis=1)
        return _Paths(np.take_along_axis(scores, order, axis=1), _rows_of(tokens, order))


@quietly
def beam_search(
    step: Step[S],
    state: S,
    *,
    start: int,
    end: int,
    beam_size: int,
    max_length: int,
    mask_repeats: bool = False,
) -> list[list[Hypothesis]]:
    """The most probable sequences that a beam finds, for all images at once.

    At each time step every live path of an image is extended by its ``beam_size`` best tokens, and
    of all these extensions the ``beam_size`` best are kept (Wang et al., CNN-RNN, CVPR 2016). Those
    that end become candidates; the others live on. An image is done when every live path is less
    probable than all its candidates: scores are not normalized by length, so a live path can only
    fall further. One call of ``step`` per time step serves the live paths of all images. Of equally
    probable extensions the one of the better path, then the smaller token, goes first.

    Args:
        step: See `Step`.
        state: One row per image.
        start: Fed to the first call; never part of a result.
        end: Ends a sequence. Outside the vocabulary it never occurs.
        beam_size: The paths kept per image.
        max_length: The longest sequence, END included.
        mask_repeats: Rule out the tokens that are on the path already, without rescaling the rest.

    Returns:
        Per image 1 to ``beam_size`` hypotheses, the most probable first. Where no path ended within
        ``max_length``, the unfinished paths of the last step that had any.

    Raises:
        LookcloserError: For a limit below 1, a state of another kind, or values that are not
            log-probabilities.
    """
    check_limits(beam_size=beam_size, max_length=max_length)
    images = row_count(state)
    ended = _Paths.empty(images, beam_size, max_length, end)
    live = _Paths.empty(images, beam_size, max_length, end)
    live.scores[:, 0] = 0.0
    unfinished = live
    last = np.full(images, start, dtype=np.int64)
    for position in range(max_length):
        if not len(last):
            break
        log_probs, state = advance(step, state, last)
        image, place = np.isfinite(live.scores).nonzero()
        if mask_repeats:
            log_probs = masked(log_probs, live.tokens[image, place, :position])
        paths, rows = _extend(live, *best_tokens(log_probs, beam_size), position)

        ends = paths.tokens[:, :, position] == end
        ended = ended.best_with(paths.only(ends))
        live = paths.only(~ends)
        alive = np.isfinite(live.scores).any(axis=1, keepdims=True)
        unfinished = live.where(alive, unfinished)
        live = live.only(~_done(live, ended))

        going = np.isfinite(live.scores)
        last = live.tokens[:, :, position][going]
        state = select(state, rows[going])
    return _hypotheses(ended, unfinished, end)


def greedy_search(
    step: Step[S],
    state: S,
    *,
    start: int,
    end: int,
    max_length: int,
    mask_repeats: bool = False,
) -> list[Hypothesis]:
    """The sequence of each image that takes the most probable token at every step.

    A beam of one path. Arguments and errors as in `beam_search`.
    """
    beams = beam_search(
        step,
        state,
        start=start,
        end=end,
        beam_size=1,
        max_length=max_length,
        mask_repeats=mask_repeats,
    )
    return [beam[0] for beam in beams]


def _extend(
    live: _Paths, values: Floats, tokens: Integers, position: int
) -> tuple[_Paths, Integers]:
    """The best extensions of each image's paths, and the row of the step that each came from.

    ``values`` and ``tokens`` (n, k) belong to the n live paths, in the order of the table.
    """
    images, places = live.scores.shape
    alive = np.isfinite(live.scores)
    grid = np.full((images, places, values.shape[1]), -np.inf)
    grid[alive] = live.scores[alive][:, None] + values
    choices = np.zeros(grid.shape, dtype=np.int64)
    choices[alive] = tokens
    rows = np.zeros(alive.shape, dtype=np.int64)
    rows[alive] = np.arange(len(values))

    flat = grid.reshape(images, -1)
    order = _best_first(flat)[:, :places]
    parents = order // values.shape[1]
    extended = _rows_of(live.tokens, parents)
    extended[:, :, position] = np.take_along_axis(choices.reshape(images, -1), order, axis=1)
    scores = np.take_along_axis(flat, order, axis=1)
    return _Paths(scores, extended), np.take_along_axis(rows, parents, axis=1)


def _done(live: _Paths, ended: _Paths) -> NDArray[np.bool_]:
    """(images, 1): every live path is less probable than all candidates.

    Only the ``beam_size`` best candidates are kept: a live path below them all cannot get among
    them, so forgetting the others changes no result.
    """
    worst = np.where(np.isfinite(ended.scores), ended.scores, np.inf).min(axis=1, keepdims=True)
    done: NDArray[np.bool_] = np.isfinite(worst) & (live.scores.max(axis=1, keepdims=True) < worst)
    return done


def _hypotheses(ended: _Paths, unfinished: _Paths, end: int) -> list[list[Hypothesis]]:
    any_ended = np.isfinite(ended.scores).any(axis=1, keepdims=True)
    all_scores, all_tokens = ended.where(any_ended, unfinished)
    taken = np.isfinite(all_scores)
    scores, tokens = all_scores[taken], all_tokens[taken]
    before_end = np.logical_and.accumulate(tokens != end, axis=1)
    words = iter(tokens[before_end].tolist())
    lengths = before_end.sum(axis=1).tolist()
    paths = iter(
        [
            Hypothesis(tuple(islice(words, length)), score)
            for length, score in zip(lengths, scores.tolist(), strict=True)
        ]
    )
    return [list(islice(paths, count)) for count in taken.sum(axis=1).tolist()]


def _best_first(scores: Floats) -> Integers:
    """The order of the columns of each row; of equals the first goes first."""
    return np.argsort(-scores, axis=1, kind="stable")


def _rows_of(tokens: Integers, order: Integers) -> Integers:
    """``tokens`` (images, places, length) in the ``order`` (images, m) of their places."""
    return np.take_along_axis(tokens, order[..., None], axis=1)
