"""The small network of the original experiment: two blocks of one convolution each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = 32
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 1e-4, 0.75, 2.0


class TwoBlock(nn.Module):
    """Two convolution blocks, the first of which is the stage that is fed back into.

    A block is a 3×3 convolution to 32 channels without padding, ReLU, max-pooling 3/2, local
    response normalisation and two zeros on every side; the second has dropout behind it. All sizes
    follow from the input's: 28 -> 16 -> 10.

    Args:
        in_channels: Channels of the images.
        drop_rate: Dropout behind the second block.
    """

    width = CHANNELS

    def __init__(self, in_channels: int = 3, drop_rate: float = 0.5) -> None:
        super().__init__()
        self.block1 = _block(in_channels)
        self.block2 = _block(CHANNELS)
        self.dropout = nn.Dropout(drop_rate)

    def early(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 32, h, w)."""
        raw: Tensor = self.block1(images)
        return raw

    def late(self, raw: Tensor, size: torch.Size) -> Tensor:
        """The first block's output -> features (B, 32, h, w)."""
        del size  # of networks whose output is no map yet
        features: Tensor = self.dropout(self.block2(raw))
        return features

    def grid(self, raw: Tensor, size: torch.Size) -> tuple[int, int]:
        """(h, w) of the first block's output."""
        del size
        height, width = raw.shape[2:]
        return height, width

    def attend(self, raw: Tensor, attention: Tensor) -> Tensor:
        """The first block's output times ``attention`` (B, 1, h, w)."""
        return raw * attention.to(raw.dtype)


def _block(in_channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, CHANNELS, 3)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(
        convolution,
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        # torch divides alpha by the size; in the published form it multiplies the plain sum.
        nn.LocalResponseNorm(LRN_SIZE, alpha=LRN_ALPHA * LRN_SIZE, beta=LRN_BETA, k=LRN_K),
        nn.ZeroPad2d(2),
    )
