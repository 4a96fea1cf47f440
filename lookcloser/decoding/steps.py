"""What every decoder does with the output of one step: mask, check, pick the best."""

from __future__ import annotations

import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding.types import S, Step

TOLERANCE = 1e-3  # A log-softmax in half precision may round to slightly more than 0.
BLOCK = 64  # Columns that `_top` looks at together.


def check_limits(**limits: int | None) -> None:
    """Raise a `LookcloserError` for a limit that is given and below 1."""
    for name, value in limits.items():
        if value is not None and value < 1:
            raise LookcloserError(f"{name}={value}", allowed=f"{name} of 1 or more")


def advance(step: Step[S], state: S, tokens: Tensor) -> tuple[Tensor, S]:
    """``step(state, tokens)``, its log-probabilities checked to be (n, V).

    Raises:
        LookcloserError: For another shape.
    """
    log_probs, state = step(state, tokens)
    if log_probs.ndim != 2 or len(log_probs) != len(tokens):
        raise LookcloserError(
            f"`step` returned log-probabilities of shape {tuple(log_probs.shape)}",
            allowed=f"One row for each of the {len(tokens)} tokens: ({len(tokens)}, vocabulary)",
        )
    return log_probs, state


def masked(log_probs: Tensor, paths: Tensor) -> Tensor:
    """``log_probs`` (n, V) with -inf for the tokens of ``paths`` (n, t); the rest is not rescaled.

    A copy: what ``step`` returned stays as it was.
    """
    return log_probs.scatter(1, paths.to(log_probs.device), -torch.inf)


def best_tokens(log_probs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` most probable tokens of each row, best first, equal ones by smaller index.

    Args:
        log_probs: (n, V), on any device.
        count: At most this many columns come back, fewer where V is smaller.

    Returns:
        Log-probabilities, float64 and at most 0, and tokens, int64: (n, min(count, V)), on the CPU,
        where the bookkeeping of every decoder happens.

    Raises:
        LookcloserError: For values above 0 or NaN.
    """
    # One more than asked for shows whether the last place is tied. `topk` promises no order among
    # equals, so the few rows with a tie are sorted.
    top, tokens = _top(log_probs, min(count + 1, log_probs.shape[1]))
    values, tokens = top.cpu(), tokens.cpu()
    tied = ((values[:, 1:] == values[:, :-1]) & values[:, 1:].isfinite()).any(dim=1)
    if tied.any():
        rows = log_probs[tied.to(log_probs.device)]
        in_order, order = rows.sort(dim=1, descending=True, stable=True)
        values[tied] = in_order[:, : values.shape[1]].cpu()
        tokens[tied] = order[:, : values.shape[1]].cpu()
    check_log_probs(values[:, 0])
    return values[:, :count].double().clamp(max=0.0), tokens[:, :count]


def _top(log_probs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``log_probs.topk(count)``, but for which of equal values it takes, and much faster on a CPU.

    The ``count`` highest values of a row lie in its ``count`` blocks of the highest maxima and in
    the columns behind the last whole block, and one pass finds the maxima. Where few blocks would
    be left out, it is `topk` itself.
    """
    rows, columns = log_probs.shape
    if columns < 4 * count * BLOCK:
        return log_probs.topk(count)
    maxima = log_probs.unfold(1, BLOCK, BLOCK).amax(dim=2)
    index = torch.arange(columns, device=log_probs.device)
    within, behind = index[:BLOCK], index[columns - columns % BLOCK :]
    inside = maxima.topk(count).indices[..., None] * BLOCK + within
    candidates = torch.cat([inside.flatten(1), behind.expand(rows, -1)], dim=1)
    values, places = log_probs.gather(1, candidates).topk(count)
    return values, candidates.gather(1, places)


def check_log_probs(highest: Tensor) -> None:
    """Raise a `LookcloserError` if the ``highest`` values of the rows cannot be log-probabilities.

    Searches stop early because a path only loses probability; on logits they would be wrong.
    """
    if not bool((highest <= TOLERANCE).all()):
        raise LookcloserError(
            f"`step` returned a value of {highest.max().item():.4g}",
            allowed="Log-probabilities, which are at most 0",
            fix="Return logits.log_softmax(dim=-1)",
        )
