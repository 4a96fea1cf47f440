"""A second look: where a first look points, cut from the image and seen again."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.layers.boxcar import pixel_centers
from lookcloser.layers.class_head import ClassHead
from lookcloser.models.solved import RootedChannels


class Places(NamedTuple):
    """Where to look again in the images of a batch.

    Attributes:
        boxes: (B, K, 3), ``(cx, cy, half-side)`` in [-1, 1].
    """

    boxes: Tensor
