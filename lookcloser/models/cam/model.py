"""Class activation mapping: a backbone, global average pooling and one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Model


class CAM(Model):
    """Classifier whose class maps come with the same forward pass (Zhou et al., CVPR 2016).

    With features f (B, D, h, w) and head weights w: ``logits_c = bias_c + mean_xy M_c(x, y)`` and
    ``M_c(x, y) = Σ_d w_cd f_d(x, y)``.

    Args:
        num_classes: C.
        backbone: A timm model name.
        stride: See `Backbone`.
        model_kwargs: Further arguments of the timm model.
        drop_rate: Dropout on the pooled features in training.
    """

    name: ClassVar[str] = "cam"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    summary: ClassVar[str] = "backbone + global average pooling + linear: the baseline with maps"

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet18",
        stride: int | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, stride=stride, options=model_kwargs)
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(self.backbone.width, num_classes)
        # Small random weights leave the first steps to the backbone's features, and, unlike zeros,
        # give the backbone a gradient at once.
        nn.init.trunc_normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor, targets: Tensor | int | None = None) -> Output:
        """Logits and class maps of a batch.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: Whose maps: None for every class, k for the k best classes of each image (best
                first), or class indices of shape (B, K). Few maps cost next to nothing.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w), not normalised; ``tokens`` (B, K) the
            classes of the maps, None where all are given; ``vector`` (B, D).
        """
        features = self.backbone(images)
        pooled = features.mean(dim=(2, 3))
        logits = self.head(self.dropout(pooled))
        weight = self.head.weight.to(features.dtype)
        if targets is None:
            maps = torch.einsum("bdhw,cd->bchw", features, weight)
            return Output(logits=logits, maps=maps, vector=pooled)
        tokens = best_classes(logits, targets) if isinstance(targets, int) else targets
        maps = torch.einsum("bdhw,bkd->bkhw", features, weight[tokens])
        return Output(logits=logits, maps=maps, tokens=tokens, vector=pooled)


def best_classes(logits: Tensor, k: int) -> Tensor:
    """Indices (B, k) of the k highest logits (B, C), best first; all classes where C < k."""
    return logits.detach().topk(min(k, logits.shape[1])).indices
