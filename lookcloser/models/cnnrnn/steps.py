"""What views of an answer look at: each label of a path at the step that names it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.models.backbone import Backbone
from lookcloser.models.cnnrnn.paths import LabelPaths

SURE = 1e-15  # scores stay this far from 0 and 1, so that their logits are finite


class StepLogits(nn.Module):
    """How sure the network is of each label at its own step of a path that stays as it is.

    The logit of a label of the path is the log-odds of ``P(label | labels before it, image)``, and
    nothing of other steps is in it: a view shows the evidence for that step, so that its shift from
    label to label is seen, and a changed image (occlusion, RISE) is asked the same question. Any
    other label is judged at the step that most probably names it.

    Args:
        backbone: Of the model, whose weights these are.
        paths: Of the model.
        path: (T,) labels, without padding.
    """

    def __init__(self, backbone: Backbone, paths: LabelPaths, path: Tensor) -> None:
        super().__init__()
        self.backbone, self.paths = backbone, paths
        self.path: Tensor
        self.register_buffer("path", path)
        self.training = paths.training

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> logits (B, C)."""
        image = self.paths.image(self.backbone(images).mean(dim=(2, 3)))
        path = self.path.expand(len(image), -1)
        projected = self.paths.project(image, path)
        steps = self.paths.joint_log_probs(projected, path).argmax(dim=1, keepdim=True)
        steps[:, 0, self.path] = torch.arange(len(self.path), device=steps.device)
        log_probs = self.paths.log_probs(projected.double()).gather(1, steps)[:, 0]
        return log_probs.exp().logit(eps=SURE).to(image.dtype)
