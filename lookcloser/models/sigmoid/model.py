"""Tags one by one: a backbone, average pooling, and a linear layer with a sigmoid per label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.types import Output
from lookcloser.losses import asymmetric_loss, ordered_paths
from lookcloser.models.base import Criterion
from lookcloser.models.cam import CAM
from lookcloser.models.file_form import FileForm, Looking

Loss = Literal["bce", "asymmetric"]


class Sigmoid(CAM):
    """Each label decided on its own; the baseline of `cnnrnn`, with the network and maps of `CAM`.

    Args:
        num_classes: C.
        backbone: A timm model name.
        stride: See `Backbone`.
        model_kwargs: Further arguments of the timm model.
        drop_rate: Dropout on the pooled features in training.
        threshold: A label is in the answer if its score is above it.
        loss: "bce" (binary cross-entropy) or "asymmetric" (see `losses.asymmetric_loss`).

    Raises:
        LookcloserError: For an unknown loss or a threshold outside [0, 1).
    """

    name: ClassVar[str] = "sigmoid"
    tasks: ClassVar[tuple[str, ...]] = ("multilabel",)
    summary: ClassVar[str] = "backbone + pooling + one sigmoid per label: the baseline of cnnrnn"

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet18",
        stride: int | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        drop_rate: float = 0.0,
        threshold: float = 0.5,
        loss: Loss = "bce",
    ) -> None:
        super().__init__(num_classes, backbone, stride, model_kwargs, drop_rate)
        if loss not in get_args(Loss):
            raise unknown(loss, "loss", get_args(Loss))
        if not 0 <= threshold < 1:
            raise LookcloserError(f"threshold {threshold}", allowed="A number from 0 to below 1")
        self.threshold, self.loss = threshold, loss

    def answer(self, images: Tensor, top: int) -> Output:
        """The labels above the threshold, best first, each with its map; see `Model.answer`."""
        del top  # a set has as many labels as it has
        output: Output = self(images)
        assert output.maps is not None  # of every label
        scores = output.logits.float().sigmoid()
        tokens = ordered_paths(scores > self.threshold, -scores)
        chosen = tokens.clamp(min=0)
        maps = output.maps.gather(
            1, chosen[:, :, None, None].expand(-1, -1, *output.maps.shape[2:])
        )
        token_scores = scores.gather(1, chosen).masked_fill(tokens < 0, 0.0)
        return Output(
            output.logits, maps, tokens=tokens, token_scores=token_scores, vector=output.vector
        )

    def file_form(self) -> FileForm:
        """The scores of all labels; the answer is those above the threshold."""
        return FileForm(Looking(self), threshold=self.threshold)

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """One term: the task's binary cross-entropy or the asymmetric loss; see `Model.losses`."""
        if self.loss == "bce":
            return {"loss": criterion(output.logits, targets)}
        return {"loss": asymmetric_loss(output.logits, targets)}
