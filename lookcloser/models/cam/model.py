"""Class activation mapping: a backbone, global average pooling and one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.layers.class_head import ClassHead, chosen_classes
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
        self.head = ClassHead(self.backbone.width, num_classes)

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits and class maps of a batch.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: As in `Model.forward`. Few maps cost next to nothing.
            top: As there.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w), not normalised; ``tokens`` (B, K) the
            classes of the maps, None where all are given.
        """
        features = self.backbone(images)
        logits = self.head(self.dropout(features.mean(dim=(2, 3))))
        tokens = chosen_classes(logits, targets, top)
        return Output(logits=logits, maps=self.head.maps(features, tokens), tokens=tokens)
