"""Gradient-weighted attention: which patches a transformer's answer for a class comes from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.explain.attention import AttentionWeights
from lookcloser.explain.context import check_images, full_precision, looking
from lookcloser.explain.features import target_slopes
from lookcloser.explain.gradients import check_has_gradients
from lookcloser.explain.outputs import logits_from
from lookcloser.explain.targets import Targets, as_asked, class_indices
from lookcloser.explain.tokens import (
    in_graph,
    no_attention,
    on_grid,
    read_tokens,
    rows_with_slope,
    through,
)


def attention_relevance(model: nn.Module, images: Tensor, targets: Targets = None) -> Tensor:
    """Relevance of Chefer et al. (ICCV 2021): R ← R + mean over heads of relu(∇A ⊙ A) R.

    A are the attention weights of a block, ∇A the gradient of the target's logit at them. The rows
    of R that the answer reads are taken: the class token's, those of the patches where these are
    averaged (less the identity that R starts from), or a pooling attention's. Fused attention is
    written out for the time of the call.

    Args:
        model: A vision transformer with attention over the whole image (timm, torchvision). It is
            left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), on the grid of patches and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For a network without attention over all patches, and for targets out of
            range.
    """
    check_images(model, images)
    check_has_gradients(model)
    layers: list[Tensor] = []

    def see(weights: Tensor) -> Tensor:
        layers.append(in_graph(weights))
        return layers[-1]

    with looking(model, images, gradients=True) as pixels:
        with AttentionWeights(see):
            logits = logits_from(model, pixels)
        if not layers:
            raise no_attention(model)
        indices, several = class_indices(targets, logits)
        maps = []
        with full_precision(images):
            for slopes in target_slopes(logits, indices, *layers):
                joint = _joint(model, images, layers, slopes)
                read = rows_with_slope(slopes[-1])
                if not bool(read.any()):  # of a class that knows no image
                    read = read_tokens(model, images, len(read))
                maps.append(on_grid(model, images, joint, read))
    return as_asked(torch.stack(maps, dim=1), several)


def _joint(
    model: nn.Module, images: Tensor, layers: list[Tensor], slopes: tuple[Tensor, ...]
) -> Tensor:
    joint: Tensor | None = None
    for weights, slope in zip(layers, slopes, strict=True):
        relevance = (slope.float() * weights.detach().float()).relu().mean(dim=1)
        joint = through(model, images, joint, relevance, share=1.0)
    assert joint is not None
    if joint.shape[1] == joint.shape[2]:
        joint = joint - torch.eye(joint.shape[1], device=joint.device)
    return joint
