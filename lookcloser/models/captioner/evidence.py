"""Where the words of a captioner without attention come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.data.vocabulary import NULL, START
from lookcloser.models.captioner.derivatives import State, step_back

if TYPE_CHECKING:
    from lookcloser.models.captioner.model import Captioner


@torch.no_grad()
def gradient_maps(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """Grad-CAM of every word: (B, K, h, w), not normalized.

    The features enter through their mean, so the derivative of a word's score is one vector g for
    all places, and its map is ``Σ_d g_d f_d(x, y)``. All words go back through the steps together,
    each from its own step on.

    Args:
        captioner: In evaluation mode, without attention.
        features: (B, D, h, w).
        tokens: (B, K) as `Captioner.write` returns them.
    """
    count = tokens.shape[1]
    inputs = captioner.read(shifted(tokens))
    state, states = captioner.first_state(features), []
    for step in range(count):
        states.append(state)
        state = captioner.cell(inputs[:, step], state)[1]
    by_output = captioner.word_rows(tokens.clamp(min=0))
    after: State = tuple(part.new_zeros(part.shape[0], 0, part.shape[1]) for part in state)
    for step in reversed(range(count)):
        own = (by_output[:, step], *(torch.zeros_like(part) for part in state[1:]))
        words = [torch.cat([new[:, None], old], dim=1) for new, old in zip(own, after, strict=True)]
        going = words[0].shape[1]  # the words from this step on
        before = step_back(
            captioner.cell,
            inputs[:, step].repeat_interleave(going, dim=0),
            tuple(part.repeat_interleave(going, dim=0) for part in states[step]),
            tuple(part.flatten(0, 1) for part in words),
        )
        after = tuple(part.reshape(-1, going, part.shape[1]) for part in before)
    gradient = F.linear(after[0], captioner.first.weight.T)
    return torch.einsum("bkd,bdhw->bkhw", gradient, features)


def shifted(tokens: Tensor) -> Tensor:
    """What has been read before each word of (B, K): START, then the words but the last."""
    start = torch.full_like(tokens[:, :1], START)
    return torch.cat([start, tokens[:, :-1].clamp(min=NULL)], dim=1)
