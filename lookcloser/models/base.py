"""What every method is: an `nn.Module` with a name, its tasks, and one kind of output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.models.backbone import Backbone


class Model(nn.Module, ABC):
    """Base of the classes in `MODELS`.

    A constructor takes ``num_classes`` and keyword arguments that JSON can hold (they are stored
    in the saved model), and gives random weights. The timm network is ``self.backbone``; all
    other parameters count as the head, which learns at the full rate.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    backbone: Backbone

    @abstractmethod
    def forward(self, images: Tensor, targets: Tensor | int | None = None) -> Output:
        """Answer a batch, the same in training and in evaluation.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: Whose evidence: None for every class, k for the k best classes of each image
                (best first), or class indices (B, K).
        """
