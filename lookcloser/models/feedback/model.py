"""Two passes: the class map of the first is multiplied into an early stage for the second."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.layers.class_head import ClassHead, chosen_classes
from lookcloser.models.backbone import Backbone, normalization
from lookcloser.models.base import make_backbone
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.models.feedback.attention import control_attention
from lookcloser.models.feedback.options import METHOD, TWO_BLOCK, FeedbackOptions
from lookcloser.models.feedback.stages import BackboneStages
from lookcloser.models.feedback.two_block import TwoBlock


class Stages(Protocol):
    """A network in two parts; ``rim`` as in `TwoBlock`."""

    rim: int

    def early(self, images: Tensor) -> Tensor:
        """Images -> the output of the stage that is fed back into."""

    def late(self, raw: Tensor, size: torch.Size) -> Tensor:
        """That output, for images of ``size`` (H, W), -> features (B, D, h, w)."""

    def look(self, raw: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """The same features, and (B, D, h', w') where the class map is read."""

    def grid(self, raw: Tensor, size: torch.Size) -> Grid:
        """Of that output."""

    def attend(self, raw: Tensor, attention: Tensor) -> Tensor:
        """That output times (B, 1, h, w)."""


class FeedbackNet(LooksTwice, method=METHOD):
    """Attention feedback: look once, see where the evidence is, look again with that in mind.

    Pass 1: ``e = early(x)``, ``f = late(e)``, logits and class maps as in `CAM`; in the two-block
    network the maps are read before its pooling. The map of the class that it finds, made positive
    and divided by its mean, is the attention a. Pass 2 answers:
    ``late(e ⊙ a)`` under the same head. Both passes share all weights.

    Args:
        num_classes: C.
        options: See `FeedbackOptions`; for ``feedback_stage`` `BackboneStages`, for
            ``feedback_select`` `feedback_attention`, for ``feedback_control``
            `control_attention`. Noise is on pixels of 0 to 255; ``std`` is what images are
            normalized with, (1, 1, 1) where they are in [0, 1].

    Raises:
        LookcloserError: For a backbone that cannot be made, or a stage that cannot be fed back
            into.
    """

    Options = FeedbackOptions
    backbone: Backbone | TwoBlock
    head: ClassHead

    def __init__(self, num_classes: int, options: FeedbackOptions | None = None) -> None:
        super().__init__()
        options = options or FeedbackOptions()
        self.select, self.control = options.feedback_select, options.feedback_control
        self.noise = options.noise
        if options.backbone == TWO_BLOCK:
            self.backbone = TwoBlock()
        else:
            self.backbone = make_backbone(options)
            self._cut = BackboneStages(self.backbone, options.feedback_stage)
        std = options.std or normalization(options.backbone)[1]
        self._pixel = [1 / (255 * deviation) for deviation in std]
        self.dropout = nn.Dropout(options.drop_rate)
        # Its weights are small at first: almost even maps make the second pass begin as the first.
        self.head = ClassHead(self.backbone.width, num_classes)
        self.add_look(num_classes, options)

    @property
    def stages(self) -> Stages:
        """The backbone in two parts."""
        return self.backbone if isinstance(self.backbone, TwoBlock) else self._cut

    def look(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `LooksTwice`: the features of the second pass, and the attention they come of."""
        if self.training and self.noise:
            scale = images.new_tensor(self._pixel)[:, None, None]
            images = images + self.noise * scale * torch.randn_like(images)
        stages, size = self.stages, images.shape[-2:]
        raw = stages.early(images)
        attention = self.fed_back(*stages.look(raw, size), stages.grid(raw, size))
        return stages.late(stages.attend(raw, attention), size), attention

    def read(
        self, seen: tuple[Tensor, ...], targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits and class maps of the second pass, and what was fed back.

        Args:
            seen: As `look` gives it.
            targets: Whose maps; see `Model.forward`.
            top: As there.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w); ``tokens`` (B, K) or None; ``part_maps``
            (B, 1, h', w'), the attention at the stage that it is multiplied into.
        """
        features, attention = seen
        pooled = features.mean(dim=(2, 3))
        logits = self.head(self.dropout(pooled))
        tokens = chosen_classes(logits, targets, top)
        maps = self.head.maps(features, tokens)
        return Output(logits=logits, maps=maps, tokens=tokens, part_maps=attention, vector=pooled)

    def fed_back(self, features: Tensor, read: Tensor, size: Grid) -> Tensor:
        """What the first pass hands to the second.

        Args:
            features: Of the first pass, as `Stages.look` gives them.
            read: Where the class map is read, from there too.
            size: Of the stage that is fed back into.

        Returns:
            (B, 1, *size).
        """
        logits = self.head(features.mean(dim=(2, 3)))
        return control_attention(
            self.head.maps(read),
            logits,
            size,
            self.select,
            self.control,
            fresh=self.training,
            rim=self.stages.rim,
        )
