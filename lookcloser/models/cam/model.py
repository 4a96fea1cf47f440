"""Class activation mapping: a backbone, global average pooling and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.models.base import Model, make_backbone
from lookcloser.models.cam.options import METHOD
from lookcloser.models.options import BackboneOptions


class CAM(Model, method=METHOD):
    """Classifier whose class maps come with the same forward pass (Zhou et al., CVPR 2016).

    With features f (B, D, h, w) and head weights w: ``logits_c = bias_c + mean_xy M_c(x, y)`` and
    ``M_c(x, y) = Σ_d w_cd f_d(x, y)``.

    Args:
        num_classes: C.
        options: See `BackboneOptions`; dropout is on the pooled features.
    """

    def __init__(self, num_classes: int, options: BackboneOptions | None = None) -> None:
        super().__init__()
        options = options or BackboneOptions()
        self.backbone = make_backbone(options)
        self.dropout = nn.Dropout(options.drop_rate)
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
            classes of the maps, None where all are given.
        """
        features = self.backbone(images)
        logits = self.head(self.dropout(features.mean(dim=(2, 3))))
        weight = self.head.weight.to(features.dtype)
        if targets is None:
            maps = torch.einsum("bdhw,cd->bchw", features, weight)
            return Output(logits=logits, maps=maps)
        tokens = best_classes(logits, targets) if isinstance(targets, int) else targets
        maps = torch.einsum("bdhw,bkd->bkhw", features, weight[tokens])
        return Output(logits=logits, maps=maps, tokens=tokens)


def best_classes(logits: Tensor, k: int) -> Tensor:
    """Indices (B, k) of the k highest logits (B, C), best first; all classes where C < k."""
    return logits.detach().topk(min(k, logits.shape[1])).indices
