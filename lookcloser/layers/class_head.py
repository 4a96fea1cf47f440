"""The linear layer behind average pooling: scores of classes, and where in the image they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError


class ClassHead(nn.Linear):
    """Pooled features (B, D) -> logits (B, C), with the class maps of the same weights.

    The logit of a class less its bias is the mean over the places of its map (Zhou et al., CVPR
    2016).

    Args:
        width: D.
        num_classes: C.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__(width, num_classes)
        # Small random weights leave the first steps to the backbone's features, and, unlike zeros,
        # give the backbone a gradient at once.
        nn.init.trunc_normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)

    def maps(self, features: Tensor, tokens: Tensor | None = None) -> Tensor:
        """``M_c(x, y) = Σ_d w_cd f_d(x, y)``, not normalized.

        Args:
            features: f, (B, D, h, w).
            tokens: (B, K) whose maps; None: of every class. Few maps cost next to nothing.

        Returns:
            (B, C or K, h, w).
        """
        weight = self.weight.to(features.dtype)
        if tokens is None:
            return torch.einsum("bdhw,cd->bchw", features, weight)
        return torch.einsum("bdhw,bkd->bkhw", features, weight[tokens])


def chosen_classes(logits: Tensor, targets: Tensor | None, top: int | None) -> Tensor | None:
    """Whose evidence a model gives: (B, K) classes, or None for every one.

    Args:
        logits: (B, C).
        targets: (B, K) class indices, or None.
        top: The k best classes of each image, or None.

    Raises:
        LookcloserError: If both are given, or a number as ``targets``.
    """
    if targets is not None and (top is not None or not isinstance(targets, Tensor)):
        raise LookcloserError(
            f"targets = {targets}, top = {top}",
            allowed="Class indices of shape (B, K) as targets, or a number of best classes as top",
        )
    return targets if top is None else best_classes(logits, top)


def best_classes(logits: Tensor, k: int) -> Tensor:
    """Indices (B, k) of the k highest logits (B, C), best first; all classes where C < k.

    Of equal ones the first, as in NumPy, ONNX Runtime and the browser; ``topk`` promises no order.
    """
    if k == 1:
        return logits.detach().argmax(dim=1, keepdim=True)
    return logits.detach().sort(dim=1, descending=True, stable=True).indices[:, :k]
