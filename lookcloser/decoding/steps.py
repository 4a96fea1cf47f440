"""What every decoder does with the output of one step: mask, check, pick the best."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError, NotFiniteError
from lookcloser.decoding.arrays import arrays_of, highest
from lookcloser.decoding.states import tokens_for
from lookcloser.decoding.types import Floats, Integers, S, Step

TOLERANCE = 1e-3  # A log-softmax in half precision may round to slightly more than 0.


def check_limits(**limits: int | None) -> None:
    """Raise a `LookcloserError` for a limit that is given and below 1."""
    for name, value in limits.items():
        if value is not None and value < 1:
            raise LookcloserError(f"{name}={value}", allowed=f"{name} of 1 or more")


def advance(step: Step[S], state: S, tokens: Integers) -> tuple[Any, S]:
    """``step(state, tokens)``, its log-probabilities checked to be (n, V).

    Raises:
        LookcloserError: For another shape.
    """
    log_probs, state = step(state, tokens_for(state, tokens))
    if log_probs.ndim != 2 or len(log_probs) != len(tokens):
        raise LookcloserError(
            f"`step` returned log-probabilities of shape {tuple(log_probs.shape)}",
            allowed=f"One row for each of the {len(tokens)} tokens: ({len(tokens)}, vocabulary)",
        )
    return log_probs, state


def masked(log_probs: Any, paths: Integers) -> Any:
    """``log_probs`` (n, V) with -inf for the tokens of ``paths`` (n, t); the rest is not rescaled.

    A copy: what ``step`` returned stays as it was.
    """
    return arrays_of(log_probs).masked(log_probs, paths)


def numbers(log_probs: Any) -> NDArray[Any]:
    """``log_probs`` in NumPy, of at least float32."""
    return arrays_of(log_probs).numpy(log_probs)


def best_tokens(log_probs: Any, count: int) -> tuple[Floats, Integers]:
    """The ``count`` most probable tokens of each row, best first, equal ones by smaller index.

    Args:
        log_probs: (n, V), NumPy's or torch's on any device.
        count: At most this many columns come back, fewer where V is smaller.

    Returns:
        Log-probabilities, float64 and at most 0, and tokens: (n, min(count, V)).

    Raises:
        LookcloserError: For values above 0 or NaN.
    """
    # One more than asked for shows whether the last place is tied. `highest` promises no order
    # among equals, so the few rows with a tie are sorted.
    values, tokens = highest(log_probs, min(count + 1, log_probs.shape[1]))
    check_log_probs(values[:, 0])
    tied = ((values[:, 1:] == values[:, :-1]) & np.isfinite(values[:, 1:])).any(axis=1)
    if tied.any():
        rows = numbers(arrays_of(log_probs).select(log_probs, np.flatnonzero(tied)))
        order = np.argsort(-rows, axis=1, kind="stable")[:, : values.shape[1]]
        values, tokens = values.copy(), tokens.copy()  # a tensor's own memory stays as it is
        values[tied], tokens[tied] = np.take_along_axis(rows, order, axis=1), order
    return np.minimum(values[:, :count].astype(np.float64), 0.0), tokens[:, :count]


def check_log_probs(highest_values: NDArray[Any]) -> None:
    """Raise a `LookcloserError` if the highest values of the rows cannot be log-probabilities.

    Searches stop early because a path only loses probability; on logits they would be wrong.
    """
    if bool(np.isnan(highest_values).any()):
        raise NotFiniteError(
            "the answer of the model is not finite: `step` returned NaN",
            allowed="Log-probabilities, which are at most 0",
            fix="Return logits.log_softmax(dim=-1) of finite logits",
        )
    if not bool((highest_values <= TOLERANCE).all()):
        raise LookcloserError(
            f"`step` returned a value of {highest_values.max():.4g}",
            allowed="Log-probabilities, which are at most 0",
            fix="Return logits.log_softmax(dim=-1)",
        )
