"""Class activation mapping: a backbone, global average pooling and one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.layers.class_head import ClassHead, chosen_classes
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
