"""Class activation mapping: a backbone, global average pooling and one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.layers.class_head import ClassHead, chosen_classes
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import make_backbone
from lookcloser.models.cam.closer import SecondLook
from lookcloser.models.cam.options import METHOD, CAMOptions
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.models.solved import RootedChannels


class CAM(LooksTwice, method=METHOD):
    """Classifier whose class maps come with the same forward pass (Zhou et al., CVPR 2016).

    With features f (B, D, h, w) and head weights w: ``logits_c = bias_c + mean_xy M_c(x, y)`` and
    ``M_c(x, y) = Σ_d w_cd f_d(x, y)``.

    Args:
        num_classes: C.
        options: See `CAMOptions`; dropout is on the pooled features. Where they are rooted, the
            equations hold for the rooted features. With ``places`` it looks twice, see
            `LooksTwice`.
    """

    Options = CAMOptions
    backbone: Backbone
    head: ClassHead

    def __init__(self, num_classes: int, options: CAMOptions | None = None) -> None:
        super().__init__()
        options = options or CAMOptions()
        self.backbone = make_backbone(options)
        self.root = RootedChannels() if options.rooted else None
        self.dropout = nn.Dropout(options.drop_rate)
        self.head = ClassHead(self.backbone.width, num_classes)
        self.add_look(num_classes, options, kept=options.kept, summed=options.summed)

    def look(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `LooksTwice`: the features that the head reads."""
        return (self.rooted(self.backbone(images)),)

    def read(
        self, seen: tuple[Tensor, ...], targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits and class maps.

        Args:
            seen: (B, D, h, w), alone.
            targets: As in `Model.forward`. Few maps cost next to nothing.
            top: As there.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w), not normalized; ``tokens`` (B, K) the
            classes of the maps, None where all are given; ``vector`` (B, D).
        """
        (features,) = seen
        pooled = features.mean(dim=(2, 3))
        logits = self.head(self.dropout(pooled))
        distances = None
        if self.solution is not None and self.closer is None:
            distances = self.solution.distances(pooled, logits)
        tokens = chosen_classes(logits, targets, top)
        maps = self.head.maps(features, tokens)
        return Output(logits=logits, maps=maps, tokens=tokens, distances=distances, vector=pooled)

    def whole_look(
        self, closer: SecondLook, images: Tensor, features: Tensor
    ) -> tuple[Tensor, ...]:
        """See `LooksTwice`; where the whole image has no say, its head reads the source."""
        if closer.whole:
            return super().whole_look(closer, images, features)
        return (self.rooted(features),)

    def rooted(self, features: Tensor) -> Tensor:
        """The backbone's features (B, D, h, w) as the head reads them, before their mean."""
        return features if self.root is None else self.root(features)
