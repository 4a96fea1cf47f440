"""Random sequences, drawn from the model's own distribution or from its likelier part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding.states import quietly, row_count, select
from lookcloser.decoding.steps import (
    advance,
    check_limits,
    check_log_probs,
    masked,
    numbers,
)
from lookcloser.decoding.types import Floats, Hypothesis, Integers, S, Step


@quietly
def sample(
    step: Step[S],
    state: S,
    *,
    start: int,
    end: int,
    max_length: int,
    generator: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    mask_repeats: bool = False,
) -> list[Hypothesis]:
    """One random sequence per image.

    The log-probabilities are divided by ``temperature``; the ``top_k`` likeliest tokens stay; of
    those, renormalized, the fewest likeliest stay whose probabilities add up to ``top_p`` or more
    (Holtzman et al., "The curious case of neural text degeneration", ICLR 2020).

    Args:
        step: See `Step`.
        state: One row per image.
        start: Fed to the first call; never part of a result.
        end: Ends a sequence.
        max_length: The longest sequence, END included.
        generator: The source of randomness. Every image takes one number of it per time step while
            any image goes on, so that what one gets does not depend on when another ends.
        temperature: Above 0; below 1 prefers likely tokens, above 1 evens them out.
        top_k: Keep this many tokens.
        top_p: In (0, 1].
        mask_repeats: Rule out the tokens that are on the path already.

    Returns:
        Per image a hypothesis. Its ``log_prob`` is the model's own, before temperature and cuts. A
        path with no possible next token is returned as it is.

    Raises:
        LookcloserError: For an option outside its range, or values that are not log-probabilities.
    """
    check_limits(max_length=max_length, top_k=top_k)
    _check_range("temperature", temperature, np.inf)
    _check_range("top_p", top_p, 1.0)
    images = row_count(state)
    tokens = np.full((images, max_length), end, dtype=np.int64)
    scores = np.zeros(images)
    last, alive = np.full(images, start, dtype=np.int64), np.arange(images)
    for position in range(max_length):
        if not len(alive):
            break
        found, state = advance(step, state, last)
        log_probs = numbers(found)
        if mask_repeats:
            log_probs = masked(log_probs, tokens[alive, :position])
        uniform = generator.random(images)[alive]
        drawn = _draw(log_probs, uniform, temperature, top_k, top_p)
        gained = np.take_along_axis(log_probs, drawn[:, None], axis=1)[:, 0].astype(np.float64)
        check_log_probs(gained)
        possible = gained > -np.inf
        last = np.where(possible, drawn, end)
        tokens[alive, position] = last
        scores[alive] += np.where(possible, gained, 0.0)
        going = last != end
        last, alive, state = last[going], alive[going], select(state, np.flatnonzero(going))
    return [
        Hypothesis(tuple(path[: path.index(end)] if end in path else path), score)
        for path, score in zip(tokens.tolist(), scores.tolist(), strict=True)
    ]


def _draw(
    log_probs: NDArray[Any],
    uniform: Floats,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> Integers:
    """Tokens (n,) by inverting the cumulative distribution at ``uniform`` (n,) in [0, 1).

    Where no token is possible, any token.
    """
    tokens = np.argsort(-log_probs, axis=1, kind="stable")
    ordered = np.take_along_axis(log_probs, tokens, axis=1).astype(np.float64)
    # Relative to the best, so that a low temperature cannot send all of them to -inf; a row of
    # nothing but -inf has none that is better.
    best = np.where(np.isfinite(ordered[:, :1]), ordered[:, :1], 0.0)
    weights = np.exp((ordered - best)[:, :top_k] / temperature)
    probs = weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    if top_p is not None:
        # The token that crosses the threshold stays: what counts is the sum before it.
        probs = np.where(probs.cumsum(axis=1) - probs >= top_p, 0.0, probs)
    cumulative = probs.cumsum(axis=1)
    place = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(axis=1)
    # Rounding may carry the product to the very end of the sum, behind the last possible token.
    place = np.minimum(place, np.maximum((probs > 0).sum(axis=1), 1) - 1)
    drawn: Integers = np.take_along_axis(tokens, place[:, None], axis=1)[:, 0]
    return drawn


def _check_range(name: str, value: float | None, highest: float) -> None:
    if value is not None and not 0 < value <= highest:
        allowed = f"{name} above 0" + ("" if highest == np.inf else f" and at most {highest:g}")
        raise LookcloserError(f"{name}={value}", allowed=allowed)
