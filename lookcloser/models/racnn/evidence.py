"""The next view where the first scale sees evidence of any class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.layers.class_head import ClassHead
from lookcloser.models.cam.closer import best_places, presence

_SHIFT, _GROWTH = 0.22, 0.22  # of a view in training: of its half-side, and of the logarithm of it


class EvidenceProposal(nn.Module):
    """The box around the place of a view that is least like elsewhere.

    A linear finder over windows of the features tells the classes, and elsewhere, apart; it is
    solved in closed form before the training, and stands still.

    Args:
        width: D of the features.
        num_classes: C.
        half_side: Of the box, in [-1, 1] of the view.
    """

    def __init__(self, width: int, num_classes: int, half_side: float) -> None:
        super().__init__()
        self.half_side = half_side
        self.finder = ClassHead(width, num_classes + 1).requires_grad_(False)

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, 3) ``(cx, cy, half-side)``, inside the view; in training shaken.

        The finer scale sees few images many times: a little elsewhere and of another size each
        time, they are more.
        """
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        box = best_places(presence(features, self.finder, self.half_side), 1, self.half_side)[0]
        return shaken(box[:, 0]) if self.training else box[:, 0]


def shaken(boxes: Tensor) -> Tensor:
    """Boxes (B, 3) moved and resized at random by torch's generator, still inside [-1, 1]."""
    noise = 2 * torch.rand(boxes.shape) - 1  # on the CPU: the same on every device
    noise = noise.to(boxes)
    half_side = (boxes[:, 2:] * (_GROWTH * noise[:, 2:]).exp()).clamp(max=1)
    center = boxes[:, :2] + _SHIFT * half_side * noise[:, :2]
    return torch.cat([torch.minimum(center.abs(), 1 - half_side) * center.sign(), half_side], dim=1)
