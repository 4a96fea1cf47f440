"""Tags one by one: a backbone, average pooling, and a linear layer with a sigmoid per label."""

from __future__ import annotations

from torch import Tensor

from lookcloser.core.types import Output
from lookcloser.losses import asymmetric_loss, ordered_paths
from lookcloser.models.base import Criterion
from lookcloser.models.cam.model import CAM
from lookcloser.models.file_form import FileForm, Looking
from lookcloser.models.sigmoid.options import METHOD, SigmoidOptions


class Sigmoid(CAM, method=METHOD):
    """Each label decided on its own; the baseline of `cnnrnn`, with the network and maps of `CAM`.

    Args:
        num_classes: C.
        options: See `SigmoidOptions`.
    """

    Options = SigmoidOptions

    def __init__(self, num_classes: int, options: SigmoidOptions | None = None) -> None:
        options = options or SigmoidOptions()
        super().__init__(num_classes, options)
        self.threshold, self.loss = options.threshold, options.loss

    def answer(self, images: Tensor, top: int) -> Output:
        """The labels above the threshold, best first, each with its map; see `Model.answer`."""
        del top  # a set has as many labels as it has
        output: Output = self(images)
        assert output.maps is not None  # of every label
        scores = output.logits.float().sigmoid()
        tokens = ordered_paths(scores > self.threshold, -output.logits)
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
