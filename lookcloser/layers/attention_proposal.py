"""Attention proposal network of RA-CNN (Fu et al., CVPR 2017): from features to the next box.

Boxes are ``(cx, cy, s)``, center and half-side in [-1, 1], as in `lookcloser.layers.boxcar`.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from lookcloser.core import LookcloserError
from lookcloser.core.choices import ProposalHead
from lookcloser.core.errors import unknown
from lookcloser.core.sizes import Grid
from lookcloser.layers.boxcar import pixel_centers


def bounded_boxes(raw: Tensor, min_half_side: float = 0.2, max_half_side: float = 0.8) -> Tensor:
    """Boxes that lie inside the image for every ``raw``, without a clamp that stops the gradient.

    ``s = min + (max - min) sigmoid(raw_3)`` and ``c = (1 - s) tanh(raw_1, raw_2)``.

    Args:
        raw: (B, 3), unbounded.
        min_half_side: Smallest half-side, in (0, 1]; 1 is the whole image.
        max_half_side: Largest half-side, in (0, 1].

    Returns:
        (B, 3) in float32 or better: half precision would move the box by pixels.

    Raises:
        LookcloserError: If not ``0 < min_half_side <= max_half_side <= 1``.
    """
    if not 0 < min_half_side <= max_half_side <= 1:
        raise LookcloserError(
            f"half-sides from {min_half_side} to {max_half_side}",
            allowed="0 < min_half_side <= max_half_side <= 1",
        )
    raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
    half_side = min_half_side + (max_half_side - min_half_side) * raw[:, 2:].sigmoid()
    return torch.cat(((1 - half_side) * raw[:, :2].tanh(), half_side), dim=1)


def strongest_response_boxes(features: Tensor, half_side: float = 0.5) -> Tensor:
    """The target for pre-training a proposal: a box on the strongest response, moved inside.

    The center is the cell where the mean over the channels is largest; a half-side of 0.5 is the
    paper's quarter of the width.

    Args:
        features: (B, C, h, w), the last convolution's output.
        half_side: Half-side of every box, in (0, 1].

    Returns:
        (B, 3), without gradient; at least float32.
    """
    height, width = features.shape[-2:]
    cells = features.detach().mean(dim=1, dtype=torch.promote_types(features.dtype, torch.float32))
    index = cells.flatten(1).argmax(dim=1)
    center = torch.stack(
        ((2 * (index % width) + 1) / width - 1, (2 * (index // width) + 1) / height - 1), dim=1
    ).to(cells.dtype)
    center = center.clamp(half_side - 1, 1 - half_side)
    return torch.cat((center, torch.full_like(center[:, :1], half_side)), dim=1)


class AttentionProposal(nn.Module):
    """Features of one scale -> the box of the next scale, inside the crop of this one.

    Args:
        in_channels: C of the features.
        grid_size: Of the features. Only the paper's head depends on it.
        head: "light" (`KeypointHead`, any grid size) or "paper" (`FullyConnectedHead`; on the
            512 × 14 × 14 features of VGG-19 it has 103 M weights).
        min_half_side: As in `bounded_boxes`.
        max_half_side: As in `bounded_boxes`.

    Raises:
        LookcloserError: If the head is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        grid_size: Grid,
        head: ProposalHead = "light",
        min_half_side: float = 0.2,
        max_half_side: float = 0.8,
    ) -> None:
        super().__init__()
        if head not in get_args(ProposalHead):
            raise unknown(head, "attention proposal head", get_args(ProposalHead))
        self.head = (
            KeypointHead(in_channels)
            if head == "light"
            else FullyConnectedHead(in_channels, grid_size)
        )
        self.min_half_side, self.max_half_side = min_half_side, max_half_side

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> boxes (B, 3)."""
        return bounded_boxes(self.head(features), self.min_half_side, self.max_half_side)


class KeypointHead(nn.Module):
    """A light head: where a few learned detectors respond on average, then one linear layer.

    Each of ``keypoints`` detectors is a 1×1 convolution; its softmax over the positions gives an
    expected x and y in [-1, 1]. So a shift of the features shifts the box from the first step on,
    with ``keypoints × (C + 6)`` weights, where the paper's head learns it cell by cell.

    Args:
        in_channels: C of the features.
        keypoints: Number of detectors.
    """

    def __init__(self, in_channels: int, keypoints: int = 64) -> None:
        super().__init__()
        # Backbones differ in scale by decades. A shift of the response would not pass the softmax.
        self.normalize = nn.GroupNorm(1, in_channels, affine=False)
        self.detect = nn.Conv2d(in_channels, keypoints, kernel_size=1, bias=False)
        self.locate = nn.Linear(2 * keypoints, 3)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3), unbounded."""
        response = self.detect(self.normalize(features))
        height, width = response.shape[-2:]
        weights = response.flatten(2).softmax(dim=2).unflatten(2, (height, width))
        x = (weights.sum(dim=2) * pixel_centers(width, weights)).sum(dim=2)
        y = (weights.sum(dim=3) * pixel_centers(height, weights)).sum(dim=2)
        raw: Tensor = self.locate(torch.cat((x, y), dim=1))
        return raw


class FullyConnectedHead(nn.Sequential):
    """The paper's head: two fully connected layers on the flattened features.

    Args:
        in_channels: C of the features.
        grid_size: Of the features.
        hidden: Width between the layers; 1024 in the released network, with tanh.
    """

    def __init__(self, in_channels: int, grid_size: Grid, hidden: int = 1024) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(in_channels * grid_size[0] * grid_size[1], hidden),
            nn.Tanh(),
            nn.Linear(hidden, 3),
        )
