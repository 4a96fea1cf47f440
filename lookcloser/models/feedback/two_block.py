"""The small network of the original experiment: two blocks of one convolution each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.core.sizes import Grid

CHANNELS = 32
INPUT_PADDING, PADDING = 1, 2
LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 1e-4, 0.75, 2.0


class TwoBlock(nn.Module):
    """Two convolution blocks, the first of which is the stage that is fed back into.

    A block is a 3×3 convolution to 32 channels, ReLU, max-pooling 3/2, local response
    normalization and two zeros on every side; the second has dropout behind it. The images get one
    zero on every side. All sizes follow from theirs: 28 -> 28 -> 13 in the first block, 15 -> 7 in
    the second.

    The two zeros behind a block are part of what reads them: of the second convolution, so that a
    position of the first block's output is a place in the image, and of the mean over positions,
    which they make smaller.

    Args:
        in_channels: Channels of the images.
        drop_rate: Dropout behind the second block.

    Attributes:
        rim: Rows and columns on each side of the map from `look` that lie beyond the stage, on the
            zeros around it.
    """

    width = CHANNELS
    rim = PADDING - 1

    def __init__(self, in_channels: int = 3, drop_rate: float = 0.5) -> None:
        super().__init__()
        self.block1 = _block(in_channels, INPUT_PADDING)
        self.block2 = _block(CHANNELS, PADDING)
        self.dropout = nn.Dropout(drop_rate)

    def early(self, images: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 32, h, w)."""
        raw: Tensor = self.block1(images)
        return raw

    def late(self, raw: Tensor, size: torch.Size) -> Tensor:
        """The first block's output -> features (B, 32, h, w), whose mean is that with the zeros."""
        return self.look(raw, size)[0]

    def look(self, raw: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
        """Features as from `late`, and where the class map is read: the convolution and its ReLU.

        There a position is one of the first block's output, and nothing is dropped.
        """
        del size  # of networks whose output is no map yet
        read = self.block2[:2](raw)
        pooled = self.block2[2:](read)
        height, width = pooled.shape[2:]
        share = height * width / ((height + 2 * PADDING) * (width + 2 * PADDING))
        return self.dropout(pooled) * share, read

    def grid(self, raw: Tensor, size: torch.Size) -> Grid:
        """Of the first block's output."""
        del size
        return Grid(*raw.shape[2:])

    def attend(self, raw: Tensor, attention: Tensor) -> Tensor:
        """The first block's output times ``attention`` (B, 1, h, w)."""
        return raw * attention.to(raw.dtype)


def _block(in_channels: int, padding: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, CHANNELS, 3, padding=padding)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(
        convolution,
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        # torch divides alpha by the size; in the published form it multiplies the plain sum.
        _ResponseNorm(LRN_SIZE, alpha=LRN_ALPHA * LRN_SIZE, beta=LRN_BETA, k=LRN_K),
    )


class _ResponseNorm(nn.LocalResponseNorm):
    """torch's, on places in a row: it then averages in two dimensions, which GPUs can repeat."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return super().forward(input.flatten(2)).view_as(input)
