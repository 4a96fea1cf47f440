"""Two passes: the class map of the first is multiplied into an early stage for the second."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Model, make_backbone
from lookcloser.models.cam.model import best_classes
from lookcloser.models.feedback.attention import control_attention
from lookcloser.models.feedback.options import METHOD, TWO_BLOCK, FeedbackOptions
from lookcloser.models.feedback.stages import BackboneStages
from lookcloser.models.feedback.two_block import TwoBlock


class Stages(Protocol):
    """A network in two parts."""

    def early(self, images: Tensor) -> Tensor:
        """Images -> the output of the stage that is fed back into."""

    def late(self, raw: Tensor, size: torch.Size) -> Tensor:
        """That output, for images of ``size`` (H, W), -> features (B, D, h, w)."""

    def grid(self, raw: Tensor, size: torch.Size) -> tuple[int, int]:
        """(h, w) of that output."""

    def attend(self, raw: Tensor, attention: Tensor) -> Tensor:
        """That output times (B, 1, h, w)."""


class FeedbackNet(Model, method=METHOD):
    """Attention feedback: look once, see where the evidence is, look again with that in mind.

    Pass 1: ``e = early(x)``, ``f = late(e)``, logits and class maps as in `CAM`. The map of the
    class that it finds, made positive and divided by its mean, is the attention a. Pass 2 answers:
    ``late(e ⊙ a)`` under the same head. Both passes share all weights.

    Args:
        num_classes: C.
        options: See `FeedbackOptions`; for ``feedback_stage`` `BackboneStages`, for
            ``feedback_select`` `feedback_attention`, for ``feedback_control``
            `control_attention`. Noise is in units of the normalized input.

    Raises:
        LookcloserError: For a backbone that cannot be made, or a stage that cannot be fed back
            into.
    """

    Options = FeedbackOptions

    def __init__(self, num_classes: int, options: FeedbackOptions | None = None) -> None:
        super().__init__()
        options = options or FeedbackOptions()
        self.select, self.control = options.feedback_select, options.feedback_control
        self.noise = options.noise
        self.backbone: Backbone | TwoBlock
        if options.backbone == TWO_BLOCK:
            self.backbone = TwoBlock()
        else:
            self.backbone = make_backbone(options)
            self._cut = BackboneStages(self.backbone, options.feedback_stage)
        self.dropout = nn.Dropout(options.drop_rate)
        self.head = nn.Linear(self.backbone.width, num_classes)
        # As in `CAM`; and almost even maps at first make the second pass begin as the first.
        nn.init.trunc_normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    @property
    def stages(self) -> Stages:
        """The backbone in two parts."""
        return self.backbone if isinstance(self.backbone, TwoBlock) else self._cut

    def forward(self, images: Tensor, targets: Tensor | int | None = None) -> Output:
        """Logits and class maps of the second pass, and what was fed back.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: Whose maps: None for every class, k for the k best, or classes (B, K).

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w); ``tokens`` (B, K) or None; ``part_maps``
            (B, 1, h', w'), the attention at the stage that it is multiplied into.
        """
        if self.training and self.noise:
            images = images + self.noise * torch.randn_like(images)
        stages, size = self.stages, images.shape[-2:]
        raw = stages.early(images)
        attention = self.attention(stages.late(raw, size), stages.grid(raw, size))
        features = stages.late(stages.attend(raw, attention), size)
        logits = self.head(self.dropout(features.mean(dim=(2, 3))))
        weight = self.head.weight.to(features.dtype)
        if targets is None:
            maps = torch.einsum("bdhw,cd->bchw", features, weight)
            return Output(logits=logits, maps=maps, part_maps=attention)
        tokens = best_classes(logits, targets) if isinstance(targets, int) else targets
        maps = torch.einsum("bdhw,bkd->bkhw", features, weight[tokens])
        return Output(logits=logits, maps=maps, tokens=tokens, part_maps=attention)

    def attention(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (B, D, h, w) of the first pass -> what is fed back, (B, 1, *size)."""
        logits = self.head(features.mean(dim=(2, 3)))
        maps = torch.einsum("bdhw,cd->bchw", features, self.head.weight.to(features.dtype))
        return control_attention(maps, logits, size, self.select, self.control, fresh=self.training)
