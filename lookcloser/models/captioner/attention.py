"""Soft attention of a word over the places of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lookcloser.layers.boxcar import pixel_centers

# Times the usual scores: the first weights already differ from place to place, so that features
# learn where they are looked at instead of everywhere at once.
SHARPNESS = 4.0


class SoftAttention(nn.Module):
    """Weights over places by scaled dot products, and what the state gains by looking there.

    With a place ``v`` = [LN(f(x, y)), x, y] and a state ``h``: the weights are the softmax
    over the places of ``4 k·q / √A``, ``k = W_k v``, ``q = W_q h + b_q``, and the context is
    ``W_c Σ weight v + b_c``. LN is layer norm over the channels: the scale of a cut backbone's
    features is arbitrary. Coordinates are in [-1, 1]: "left of" is said of places.

    Args:
        width: D, channels of the features.
        hidden_size: H.
        size: A, where states and places are compared.
    """

    def __init__(self, width: int, hidden_size: int, size: int = 128) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(hidden_size, size)
        # A bias here would add the same to every place, which the softmax cannot see.
        self.key = nn.Linear(width + 2, size, bias=False)
        self.context = nn.Linear(width + 2, hidden_size)

    def places(self, features: Tensor) -> Tensor:
        """Features (B, D, h, w) -> places (B, h·w, D + 2), row by row."""
        height, width = features.shape[-2:]
        y, x = (pixel_centers(count, features) for count in (height, width))
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).flip(-1).flatten(0, 1)
        seen = self.norm(features.flatten(2).transpose(1, 2))
        return torch.cat([seen, grid.expand(features.shape[0], -1, -1)], dim=-1)

    def forward(self, hidden: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """States (B, H) and places (B, L, D + 2) -> contexts (B, H), weights (B, L)."""
        # W_k is applied to the one query instead of the many places: the products are the same.
        query = self.query(hidden) @ self.key.weight
        scores = torch.einsum("bd,bld->bl", query, places) / self.key.out_features**0.5
        weights = (SHARPNESS * scores).softmax(dim=-1)
        return self.context(torch.einsum("bl,bld->bd", weights, places)), weights
