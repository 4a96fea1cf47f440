"""What every method is: an `nn.Module` with a name, its tasks, and one kind of output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.models.backbone import Backbone

Criterion = Callable[[Tensor, Tensor], Tensor]


class Model(nn.Module, ABC):
    """Base of the classes in `MODELS`.

    A constructor takes ``num_classes`` and keyword arguments that JSON can hold (they are stored
    in the saved model), and gives random weights. The options of training fill the arguments of
    the same name.

    Attributes:
        name: As in ``--method``.
        tasks: What it can answer.
        summary: One line for `lookcloser methods`.
        pairs: Whether a training batch must hold several images of each class.
        soft_targets: Whether its loss takes mixed targets (B, C), as MixUp makes them.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    summary: ClassVar[str]
    pairs: ClassVar[bool] = False
    soft_targets: ClassVar[bool] = True

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """The timm networks in it; all other parameters are the head, with its own rate."""
        return tuple(module for module in self.modules() if isinstance(module, Backbone))

    @classmethod
    def data_arguments(cls, catalog: Catalog) -> dict[str, Any]:
        """Arguments of the constructor that follow from the data, e.g. an order of labels."""
        del catalog
        return {}

    @abstractmethod
    def forward(self, images: Tensor, targets: Tensor | int | None = None) -> Output:
        """Answer a batch, the same in training and in evaluation.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: Whose evidence: None for every class, k for the k best classes of each image
                (best first), or class indices (B, K).
        """

    def answer(self, images: Tensor, top: int) -> Output:
        """What predictions are made from, in evaluation and without gradients.

        Methods that answer with a sequence decode it here, into ``tokens`` and ``token_scores``.

        Args:
            images: (B, 3, H, W).
            top: How many classes, or at most how many labels of a sequence, get a map.
        """
        output: Output = self(images, targets=top)
        return output

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """The terms whose sum is trained on, by name, each a scalar.

        Args:
            output: Of the forward pass in training.
            targets: As the batches hold them: (B,) classes, (B, C) tags, (B, T) words.
            criterion: The task's plain loss with the options of the training (label smoothing,
                class weights): (logits, targets) -> scalar.
        """
        return {"loss": criterion(output.logits, targets)}
