"""LayerCAM for any network."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.explain.features import weighted_maps
from lookcloser.explain.targets import Targets


def layercam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | nn.Module | None = None
) -> Tensor:
    """LayerCAM (Jiang et al., TIP 2021): relu(Σ_d relu(∂S_c/∂f_d) f_d), position by position.

    Each position has its own weight, so that early layers give fine maps too.

    Args:
        model: Any network. It is left as it was found; parameters' ``.grad`` is not touched.
        images: (B, 3, H, W).
        targets: None for the best class of each image, an int, (B,) or (B, K); several targets
            share one forward pass.
        layer: The module whose output is looked at, or its name; None takes the last with a grid.

    Returns:
        float32 (B, h, w), or (B, K, h, w) for targets (B, K), at the layer's resolution and not
        normalized; see `normalize`.

    Raises:
        LookcloserError: For an unknown layer, a network without a spatial layer, and targets out
            of range.
    """
    return weighted_maps(model, images, targets, layer, _weigh)


def _weigh(features: Tensor, slopes: Tensor) -> Tensor:
    return (slopes.relu() * features).sum(dim=1).relu()
