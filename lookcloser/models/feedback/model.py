"""Two passes: the class map of the first is multiplied into an early stage for the second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, get_args

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.types import Output
from lookcloser.layers.class_head import ClassHead, chosen_classes
from lookcloser.models.backbone import Backbone, normalization
from lookcloser.models.base import Model
from lookcloser.models.feedback.attention import Control, Select, control_attention
from lookcloser.models.feedback.stages import BackboneStages
from lookcloser.models.feedback.two_block import TwoBlock

TWO_BLOCK = "two-block"


class Stages(Protocol):
    """A network in two parts; ``rim`` as in `TwoBlock`."""

    rim: int

    def early(self, images: Tensor) -> Tensor:
        """Images -> the output of the stage that is fed back into."""

    def late(self, raw: Tensor, size: torch.Size) -> Tensor:
        """That output, for images of ``size`` (H, W), -> features (B, D, h, w)."""

    def look(self, raw: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """The same features, and (B, D, h', w') where the class map is read."""

    def grid(self, raw: Tensor, size: torch.Size) -> tuple[int, int]:
        """(h, w) of that output."""

    def attend(self, raw: Tensor, attention: Tensor) -> Tensor:
        """That output times (B, 1, h, w)."""


class FeedbackNet(Model):
    """Attention feedback: look once, see where the evidence is, look again with that in mind.

    Pass 1: ``e = early(x)``, ``f = late(e)``, logits and class maps as in `CAM`; in the two-block
    network the maps are read before its pooling. The map of the class that it finds, made positive
    and divided by its mean, is the attention a. Pass 2 answers:
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
        noise: Standard deviation of Gaussian noise that training adds to the images, on pixels of 0
            to 255.
        std: The std that images are normalized with, per channel, for the noise to have that unit;
            (1, 1, 1) where they are in [0, 1]. None takes the backbone's, as training does.

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
        std: Sequence[float] | None = None,
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
        self._pixel = [1 / (255 * deviation) for deviation in std or normalization(backbone)[1]]
        self.dropout = nn.Dropout(drop_rate)
        # Its weights are small at first: almost even maps make the second pass begin as the first.
        self.head = ClassHead(self.backbone.width, num_classes)

    @property
    def stages(self) -> Stages:
        """The backbone in two parts."""
        return self.backbone if isinstance(self.backbone, TwoBlock) else self._cut

    def forward(
        self, images: Tensor, targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits and class maps of the second pass, and what was fed back.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: Whose maps; see `Model.forward`.
            top: As there.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w); ``tokens`` (B, K) or None; ``part_maps``
            (B, 1, h', w'), the attention at the stage that it is multiplied into.
        """
        if self.training and self.noise:
            scale = images.new_tensor(self._pixel)[:, None, None]
            images = images + self.noise * scale * torch.randn_like(images)
        stages, size = self.stages, images.shape[-2:]
        raw = stages.early(images)
        attention = self._attention(*stages.look(raw, size), stages.grid(raw, size))
        features = stages.late(stages.attend(raw, attention), size)
        logits = self.head(self.dropout(features.mean(dim=(2, 3))))
        tokens = chosen_classes(logits, targets, top)
        maps = self.head.maps(features, tokens)
        return Output(logits=logits, maps=maps, tokens=tokens, part_maps=attention)

    def _attention(self, features: Tensor, read: Tensor, size: tuple[int, int]) -> Tensor:
        """What `Stages.look` gives of the first pass -> what is fed back, (B, 1, *size)."""
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


def _check_two_block(**given: Any) -> None:
    for name, value in given.items():
        if value:
            flag = name.replace("_", "-")
            raise LookcloserError(
                f"--{flag} {value}: not with the {TWO_BLOCK} network", fix="Leave it out"
            )
