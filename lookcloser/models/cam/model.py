"""Class activation mapping: a backbone, global average pooling and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.layers import box_corners
from lookcloser.layers.class_head import ClassHead, chosen_classes
from lookcloser.models.base import Model, make_backbone
from lookcloser.models.cam.closer import SecondLook, cut, whole_boxes
from lookcloser.models.cam.options import METHOD, CAMOptions
from lookcloser.models.solved import RootedChannels, Solution

_FINER = 2  # places of the maps of a second look for one of the first, along each side


class CAM(Model, method=METHOD):
    """Classifier whose class maps come with the same forward pass (Zhou et al., CVPR 2016).

    With features f (B, D, h, w) and head weights w: ``logits_c = bias_c + mean_xy M_c(x, y)`` and
    ``M_c(x, y) = Σ_d w_cd f_d(x, y)``.

    Args:
        num_classes: C.
        options: See `CAMOptions`; dropout is on the pooled features. Where they are rooted, the
            equations hold for the rooted features. With ``places`` the answer is that of a
            `SecondLook`, whose maps those of the answer are; images come at the source's
            resolution.
    """

    Options = CAMOptions

    def __init__(self, num_classes: int, options: CAMOptions | None = None) -> None:
        super().__init__()
        options = options or CAMOptions()
        self.backbone = make_backbone(options)
        self.root = RootedChannels() if options.rooted else None
        sizes = options.kept, options.rank, options.summed
        width = self.backbone.width
        self.solution = None
        if options.kept or options.rank:
            self.solution = Solution(num_classes, width, *sizes)
        self.dropout = nn.Dropout(options.drop_rate)
        self.head = ClassHead(self.backbone.width, num_classes)
        self.closer = None
        if options.places:
            look = options.places, options.share, options.view, options.whole
            self.closer = SecondLook(width, num_classes, *look)

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits and class maps of a batch.

        Args:
            images: (B, 3, H, W), normalized as the backbone expects.
            targets: As in `Model.forward`. Few maps cost next to nothing.
            top: As there.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w), not normalized; ``tokens`` (B, K) the
            classes of the maps, None where all are given; ``vector`` (B, D). Of a second look also
            ``boxes`` (B, P, 4), the place that counts most first, and ``scale_logits``
            (B, 1 + P, C) of the whole image and of each place, at their own temperatures; where
            the whole image has a say, it is seen at the size of a place's view, as in training.
        """
        if self.closer is not None:
            return self._closer(self.closer, images, targets, top)
        features = self._features(images)
        pooled = features.mean(dim=(2, 3))
        logits = self.head(self.dropout(pooled))
        distances = None if self.solution is None else self.solution.distances(pooled, logits)
        tokens = chosen_classes(logits, targets, top)
        maps = self.head.maps(features, tokens)
        return Output(logits=logits, maps=maps, tokens=tokens, distances=distances, vector=pooled)

    def _closer(
        self, closer: SecondLook, images: Tensor, targets: Tensor | None, top: int | None
    ) -> Output:
        features = self.backbone(images)
        seen = closer(images, features, self.backbone)
        if closer.whole:
            whole = self._features(cut(images, whole_boxes(images), closer.view))
        else:
            whole = self.rooted(features)
        first = self.head(whole.mean(dim=(2, 3)))
        logits = closer.combined(seen, first if closer.whole else None)
        tokens = chosen_classes(logits, targets, top)
        first_maps = self.head.maps(whole, tokens) if closer.whole else None
        canvas = Grid(*(_FINER * side for side in features.shape[-2:]))
        distances = None
        if self.solution is not None:
            best = seen.logits[:, 0] * closer.temperature
            distances = self.solution.distances(seen.vectors[:, 0], best)
        return Output(
            logits=logits,
            maps=closer.maps(seen, tokens, canvas, first_maps),
            boxes=box_corners(seen.boxes),
            tokens=tokens,
            scale_logits=torch.cat([first[:, None], seen.logits], dim=1),
            distances=distances,
            # Readers of exported files take five outputs at most.
            vector=seen.vectors[:, 0] if distances is None else None,
        )

    def pooled(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> what the head reads of them (B, D)."""
        return self._features(images).mean(dim=(2, 3))

    def _features(self, images: Tensor) -> Tensor:
        return self.rooted(self.backbone(images))

    def rooted(self, features: Tensor) -> Tensor:
        """The backbone's features (B, D, h, w) as the head reads them, before their mean."""
        return features if self.root is None else self.root(features)
