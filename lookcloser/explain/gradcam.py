"""Grad-CAM for any network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lookcloser.core.hooks import evaluating, watching
from lookcloser.explain.layers import as_map, find_spatial_layer, module_named
from lookcloser.explain.targets import Targets, class_indices, logits_of


def gradcam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | None = None
) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017): relu(Σ_d mean_xy(∂S_c/∂f_d) f_d).

    The graph is built from the layer onwards only, so that memory stays near that of a bare
    forward pass; parameters' ``.grad`` is not touched. Works under ``no_grad``, ``inference_mode``
    and autocast.

    Args:
        model: Any network, CNN or transformer. It is left as it was found.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.
        layer: Name of the module whose output is looked at; None takes the last with a grid.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the layer's resolution and not
        normalised; see `normalize`.

    Raises:
        LookcloserError: For an unknown layer (near names are offered), a network without a spatial
            layer, and targets out of range.
    """
    name = layer if layer is not None else find_spatial_layer(model, images)
    features: list[Tensor] = []

    def see(_name: str, _inputs: tuple[Any, ...], output: Any) -> Tensor:
        leaf = output.detach().requires_grad_()
        features[:] = [leaf]
        torch.set_grad_enabled(True)  # from here on; the block below puts it back
        copy: Tensor = leaf.clone()  # what follows in place must not reach our features
        return copy

    hooked = {name: module_named(model, name)}
    size = (images.shape[-2], images.shape[-1])
    with torch.inference_mode(False), evaluating(model):
        # Tensors made under inference_mode cannot enter a graph, their copies can.
        own = images.clone() if images.is_inference() else images
        with torch.no_grad(), watching(hooked, see):
            logits = logits_of(model(own))
        indices, several = class_indices(targets, logits)
        maps = [_weighted(features[0], logits, column, size) for column in indices.unbind(dim=1)]
    found = torch.stack(maps, dim=1)
    return found if several else found[:, 0]


def _weighted(features: Tensor, logits: Tensor, classes: Tensor, size: tuple[int, int]) -> Tensor:
    # The sum over the batch gives each image its own gradient: images do not mix in evaluation.
    with torch.enable_grad():
        score = logits.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
    grid, slope = as_map(features.detach(), size), as_map(gradient, size)
    assert grid is not None  # the layer has a grid, and so has its gradient
    assert slope is not None
    weights = slope.float().mean(dim=(2, 3), keepdim=True)
    return (weights * grid.float()).sum(dim=1).relu()
