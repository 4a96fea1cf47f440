"""Where the words of a captioner without attention come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lookcloser.data.vocabulary import NULL, START

if TYPE_CHECKING:
    from lookcloser.models.captioner.model import Captioner


def gradient_maps(captioner: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """Grad-CAM of every word: (B, K, h, w), not normalised.

    The features enter through their mean, so the derivative of a word's score is one vector g for
    all places, and its map is ``Σ_d g_d f_d(x, y)``.

    Args:
        captioner: In evaluation mode, without attention.
        features: (B, D, h, w).
        tokens: (B, K) as `Captioner.write` returns them.
    """
    images, count = tokens.shape
    with torch.inference_mode(False), torch.enable_grad():
        tokens = tokens.clone()  # made under inference_mode, a tensor cannot be in a graph
        # A copy of the picture for each of its words: one backward pass serves them all.
        copies = features.mean(dim=(2, 3)).detach().repeat_interleave(count, dim=0)
        pooled = copies.requires_grad_()
        inputs = captioner.read(shifted(tokens).repeat_interleave(count, dim=0))
        state, hidden = captioner.first_state(pooled), []
        # By steps, because cuDNN's sequences have no backward pass in evaluation mode.
        for step in range(count):
            out, state = captioner.cell(inputs[:, step], state)
            hidden.append(out.reshape(images, count, -1)[:, step])
        scores = captioner.word_scores(torch.stack(hidden, dim=1))
        score = scores.gather(2, tokens.clamp(min=0)[..., None]).sum()
        (gradient,) = torch.autograd.grad(score, pooled)
    return torch.einsum("bkd,bdhw->bkhw", gradient.reshape(images, count, -1), features)


def shifted(tokens: Tensor) -> Tensor:
    """What has been read before each word of (B, K): START, then the words but the last."""
    start = torch.full_like(tokens[:, :1], START)
    return torch.cat([start, tokens[:, :-1].clamp(min=NULL)], dim=1)
