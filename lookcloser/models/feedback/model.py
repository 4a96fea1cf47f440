"""Two passes: the class map of the first is multiplied into an early stage for the second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, get_args

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.types import Output
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Model
from lookcloser.models.cam.model import best_classes
from lookcloser.models.feedback.attention import Control, Select, control_attention
from lookcloser.models.feedback.stages import BackboneStages
from lookcloser.models.feedback.two_block import TwoBlock

TWO_BLOCK = "two-block"


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


class FeedbackNet(Model):
    """Attention feedback: look once, see where the evidence is, look again with that in mind.

    Pass 1: ``e = early(x)``, ``f = late(e)``, logits and class maps as in `CAM`. The map of the
    class that it finds, made positive and divided by its mean, is the attention a. Pass 2 answers:
    ``late(e ⊙ a)`` under the same head. Both passes share all weights.

    Args:
        num_classes: C.
        backbone: A timm model name, or "two-block" for the small network of the original
            experiment.
        stride: See `Backbone`.
        model_kwargs: Further arguments of the timm model.
        drop_rate: Dropout on the pooled features in training.
        feedback_stage: Which stage is fed back into; see `BackboneStages`.
        feedback_select: "soft" or "predicted"; see `feedback_attention`.
        feedback_control: "none", "ones", "shuffled" or "literal"; see `control_attention`.
        noise: Standard deviation of Gaussian noise that training adds to the images, in units of
            the normalised input.

    Raises:
        LookcloserError: For an unknown choice, negative noise, a stage that cannot be fed back
            into, or arguments that the two-block network does not have.
    """

    name: ClassVar[str] = "feedback"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    summary: ClassVar[str] = "looks twice: the class map of the first pass guides the second"

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet18",
        stride: int | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        drop_rate: float = 0.0,
        feedback_stage: int | None = None,
        feedback_select: Select = "soft",
        feedback_control: Control = "none",
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        if feedback_select not in get_args(Select):
            raise unknown(feedback_select, "--feedback-select", get_args(Select))
        if feedback_control not in get_args(Control):
            raise unknown(feedback_control, "--feedback-control", get_args(Control))
        if noise < 0:
            raise LookcloserError(f"noise {noise}", allowed="A standard deviation of 0 or more")
        self.select, self.control, self.noise = feedback_select, feedback_control, noise
        self.backbone: Backbone | TwoBlock
        if backbone == TWO_BLOCK:
            _check_two_block(
                stride=stride, model_kwargs=model_kwargs, feedback_stage=feedback_stage
            )
            self.backbone = TwoBlock()
        else:
            self.backbone = Backbone(backbone, stride=stride, options=model_kwargs)
            self._cut = BackboneStages(self.backbone, feedback_stage)
        self.dropout = nn.Dropout(drop_rate)
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
        pooled = features.mean(dim=(2, 3))
        logits = self.head(self.dropout(pooled))
        weight = self.head.weight.to(features.dtype)
        if targets is None:
            maps = torch.einsum("bdhw,cd->bchw", features, weight)
            return Output(logits=logits, maps=maps, part_maps=attention, vector=pooled)
        tokens = best_classes(logits, targets) if isinstance(targets, int) else targets
        maps = torch.einsum("bdhw,bkd->bkhw", features, weight[tokens])
        return Output(logits=logits, maps=maps, tokens=tokens, part_maps=attention, vector=pooled)

    def attention(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Features (B, D, h, w) of the first pass -> what is fed back, (B, 1, *size)."""
        logits = self.head(features.mean(dim=(2, 3)))
        maps = torch.einsum("bdhw,cd->bchw", features, self.head.weight.to(features.dtype))
        return control_attention(maps, logits, size, self.select, self.control, fresh=self.training)


def _check_two_block(**given: Any) -> None:
    for name, value in given.items():
        if value:
            flag = name.replace("_", "-")
            raise LookcloserError(
                f"--{flag} {value}: not with the {TWO_BLOCK} network", fix="Leave it out"
            )
