"""Batched beam search, and greedy decoding as its narrowest case."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from lookcloser.decoding.states import device_of, row_count, select
from lookcloser.decoding.steps import advance, best_tokens, check_limits, masked
from lookcloser.decoding.types import Hypothesis, S, Step


class _Paths(NamedTuple):
    """A table of paths, best first: an empty place has the score -inf.

    ``scores`` is (images, places) in float64, ``tokens`` (images, places, max_length), filled up
    with END. Both are on the CPU.
    """

    scores: Tensor
    tokens: Tensor

    @classmethod
    def empty(cls, images: int, places: int, max_length: int, end: int) -> _Paths:
        scores = torch.full((images, places), -torch.inf, dtype=torch.float64)
        return cls(scores, torch.full((images, places, max_length), end))

    def only(self, keep: Tensor) -> _Paths:
        """Without the paths outside ``keep``, a mask that broadcasts to the scores."""
        return self._replace(scores=self.scores.masked_fill(~keep, -torch.inf))

    def best_with(self, others: _Paths) -> _Paths:
        """The best of both; of equals the one that is here already."""
        scores, order = torch.cat([self.scores, others.scores], dim=1).sort(
            dim=1, descending=True, stable=True
        )
        places = self.scores.shape[1]
        tokens = torch.cat([self.tokens, others.tokens], dim=1)
        return _Paths(scores[:, :places], _rows_of(tokens, order[:, :places]))


@torch.no_grad()
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
    probable than all its candidates: scores are not normalised by length, so a live path can only
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
    images, device = row_count(state), device_of(state)
    ended = _Paths.empty(images, beam_size, max_length, end)
    live = _Paths.empty(images, beam_size, max_length, end)
    live.scores[:, 0] = 0.0
    unfinished = live
    last = torch.full((images,), start)
    for position in range(max_length):
        if not len(last):
            break
        log_probs, state = advance(step, state, last.to(device))
        image, place = live.scores.isfinite().nonzero(as_tuple=True)
        if mask_repeats:
            log_probs = masked(log_probs, live.tokens[image, place, :position])
        paths, rows = _extend(live, *best_tokens(log_probs, beam_size), position)

        ends = paths.tokens[:, :, position] == end
        ended = ended.best_with(paths.only(ends))
        live = paths.only(~ends)
        alive = live.scores.isfinite().any(dim=1, keepdim=True)
        unfinished = _Paths(
            torch.where(alive, live.scores, unfinished.scores),
            torch.where(alive[..., None], live.tokens, unfinished.tokens),
        )
        live = live.only(~_done(live, ended))

        going = live.scores.isfinite()
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


def _extend(live: _Paths, values: Tensor, tokens: Tensor, position: int) -> tuple[_Paths, Tensor]:
    """The best extensions of each image's paths, and the row of the step that each came from.

    ``values`` and ``tokens`` (n, k) belong to the n live paths, in the order of the table.
    """
    images, places = live.scores.shape
    alive = live.scores.isfinite()
    grid = values.new_full((images, places, values.shape[1]), -torch.inf)
    grid[alive] = live.scores[alive][:, None] + values
    choices = tokens.new_zeros(grid.shape)
    choices[alive] = tokens
    rows = torch.zeros(alive.shape, dtype=torch.long)
    rows[alive] = torch.arange(len(values))

    scores, order = grid.flatten(1).sort(dim=1, descending=True, stable=True)
    scores, order = scores[:, :places], order[:, :places]
    parents = order // values.shape[1]
    extended = _rows_of(live.tokens, parents)
    extended[:, :, position] = choices.flatten(1).gather(1, order)
    return _Paths(scores, extended), rows.gather(1, parents)


def _done(live: _Paths, ended: _Paths) -> Tensor:
    """(images, 1): every live path is less probable than all candidates.

    Only the ``beam_size`` best candidates are kept: a live path below them all cannot get among
    them, so forgetting the others changes no result.
    """
    worst = ended.scores.masked_fill(~ended.scores.isfinite(), torch.inf).amin(1, keepdim=True)
    return worst.isfinite() & (live.scores.amax(1, keepdim=True) < worst)


def _hypotheses(ended: _Paths, unfinished: _Paths, end: int) -> list[list[Hypothesis]]:
    any_ended = ended.scores.isfinite().any(dim=1, keepdim=True)
    scores = torch.where(any_ended, ended.scores, unfinished.scores)
    tokens = torch.where(any_ended[..., None], ended.tokens, unfinished.tokens)
    taken = scores.isfinite()
    scores, tokens = scores[taken], tokens[taken]
    before_end = (tokens != end).long().cumprod(dim=1)
    words = iter(tokens[before_end.bool()].tolist())
    lengths = before_end.sum(dim=1).tolist()
    paths = iter(
        [
            Hypothesis(tuple(islice(words, length)), score)
            for length, score in zip(lengths, scores.tolist(), strict=True)
        ]
    )
    return [list(islice(paths, count)) for count in taken.sum(dim=1).tolist()]


def _rows_of(tokens: Tensor, order: Tensor) -> Tensor:
    """``tokens`` (images, places, length) in the ``order`` (images, m) of their places."""
    return tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[2]))
