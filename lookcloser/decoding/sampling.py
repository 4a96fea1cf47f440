"""Random sequences, drawn from the model's own distribution or from its likelier part."""

from __future__ import annotations

import torch
from torch import Tensor

from lookcloser.core.errors import LookcloserError
from lookcloser.decoding.states import device_of, row_count, select
from lookcloser.decoding.steps import advance, check_limits, check_log_probs, masked
from lookcloser.decoding.types import Hypothesis, S, Step


@torch.no_grad()
def sample(
    step: Step[S],
    state: S,
    *,
    start: int,
    end: int,
    max_length: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    mask_repeats: bool = False,
) -> list[Hypothesis]:
    """One random sequence per image.

    The log-probabilities are divided by ``temperature``; the ``top_k`` likeliest tokens stay; of
    those, renormalised, the fewest likeliest stay whose probabilities add up to ``top_p`` or more
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
    _check_range("temperature", temperature, torch.inf)
    _check_range("top_p", top_p, 1.0)
    images, device = row_count(state), device_of(state)
    tokens = torch.full((images, max_length), end)
    scores = torch.zeros(images, dtype=torch.float64)
    last, alive = torch.full((images,), start), torch.arange(images)
    for position in range(max_length):
        if not len(alive):
            break
        log_probs, state = advance(step, state, last.to(device))
        if mask_repeats:
            log_probs = masked(log_probs, tokens[alive, :position])
        uniform = torch.rand(images, generator=generator, device=generator.device).cpu()[alive]
        drawn = _draw(log_probs, uniform.to(device), temperature, top_k, top_p)
        gained = log_probs.gather(1, drawn).cpu().double()[:, 0]
        check_log_probs(gained)
        possible = gained > -torch.inf
        last = torch.where(possible, drawn.cpu()[:, 0], end)
        tokens[alive, position] = last
        scores[alive] += torch.where(possible, gained, 0.0)
        going = last != end
        last, alive, state = last[going], alive[going], select(state, going.nonzero()[:, 0])
    return [
        Hypothesis(tuple(path[: path.index(end)] if end in path else path), score)
        for path, score in zip(tokens.tolist(), scores.tolist(), strict=True)
    ]


def _draw(
    log_probs: Tensor, uniform: Tensor, temperature: float, top_k: int | None, top_p: float | None
) -> Tensor:
    """Tokens (n, 1) by inverting the cumulative distribution at ``uniform`` (n,) in [0, 1).

    Where no token is possible, any token.
    """
    ordered, tokens = log_probs.float().sort(dim=1, descending=True, stable=True)
    # Relative to the best, so that a low temperature cannot send all of them to -inf.
    relative = (ordered - ordered[:, :1])[:, :top_k] / temperature
    probs = relative.softmax(dim=1)
    if top_p is not None:
        # The token that crosses the threshold stays: what counts is the sum before it.
        probs = probs.masked_fill(probs.cumsum(dim=1) - probs >= top_p, 0.0)
    cumulative = probs.cumsum(dim=1)
    place = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(dim=1)
    # Rounding may carry the product to the very end of the sum, behind the last possible token.
    place = torch.minimum(place, (probs > 0).sum(dim=1).clamp(min=1) - 1)
    return tokens.gather(1, place[:, None])


def _check_range(name: str, value: float | None, highest: float) -> None:
    if value is not None and not 0 < value <= highest:
        allowed = f"{name} above 0" + ("" if highest == torch.inf else f" and at most {highest:g}")
        raise LookcloserError(f"{name}={value}", allowed=allowed)
