"""One-squeeze multi-excitation (Sun et al., ECCV 2018): several attentions from one pooling."""

from __future__ import annotations

from typing import cast, get_args

import torch
from torch import Tensor, nn

from lookcloser.core.choices import Merge, OsmeHead
from lookcloser.core.errors import unknown
from lookcloser.core.sizes import Grid


class OSME(nn.Module):
    """P channel attentions over one feature map, and a feature vector for each.

    With ``z = GAP(U)``, attention p has the gates ``m^p = sigmoid(W2^p relu(W1^p z))`` and attends
    to ``S^p = m^p ⊙ U``, channel by channel. Its feature is

    - ``f^p = W3^p GAP(S^p)`` for the "pooled" head: any grid size, few weights;
    - ``f^p = W3^p vec(S^p)`` for the "flattened" head, the paper's: it tells positions apart, and
      has C·h·w·D weights for each attention (411 M for a ResNet-50 at 448 px).

    Args:
        in_channels: C of the features U.
        attentions: P.
        width: D of each f^p.
        reduction: The gates' hidden width is C // reduction.
        head: "pooled" or "flattened".
        grid_size: Of the features; the flattened head alone depends on it.

    Raises:
        LookcloserError: If the head is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        grid_size: Grid,
        *,
        attentions: int = 2,
        width: int = 1024,
        reduction: int = 16,
        head: OsmeHead = "pooled",
    ) -> None:
        super().__init__()
        if head not in get_args(OsmeHead):
            raise unknown(head, "OSME head", get_args(OsmeHead))
        self.in_channels, self.grid_size, self.head = in_channels, grid_size, head
        hidden = max(1, in_channels // reduction)
        positions = 1 if head == "pooled" else grid_size[0] * grid_size[1]
        self.excite = nn.ModuleList(
            nn.Sequential(
                nn.Linear(in_channels, hidden),
                nn.ReLU(),
                nn.Linear(hidden, in_channels),
                nn.Sigmoid(),
            )
            for _ in range(attentions)
        )
        self.project = nn.ModuleList(
            nn.Linear(in_channels * positions, width) for _ in range(attentions)
        )

    def gates(self, features: Tensor) -> Tensor:
        """m: (B, C, h, w) -> (B, P, C), in (0, 1)."""
        pooled = features.mean(dim=(2, 3))
        return torch.stack([excite(pooled) for excite in self.excite], dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """f: (B, C, h, w) -> (B, P, D)."""
        gates = self.gates(features)
        if self.head == "pooled":  # the gates do not depend on the position: pool before gating
            attended = gates * features.mean(dim=(2, 3))[:, None]
        else:
            attended = (gates[..., None, None] * features[:, None]).flatten(2)
        return torch.stack(
            [project(part) for project, part in zip(self.project, attended.unbind(1), strict=True)],
            dim=1,
        )

    def evidence(self, features: Tensor, directions: Tensor) -> Tensor:
        """Where in the image each attention finds a score that is linear in its feature.

        For the row of a classifier on f, one map per attention: its mean over the positions is the
        attention's exact share ``directions · (f^p - bias^p)`` of the logit, as with class
        activation maps.

        Args:
            features: U, (B, C, h, w).
            directions: (K, P, D), e.g. the classifier's weight (K, P·D) for concatenated features;
                or (B, K, P, D), with rows of its own for each image.

        Returns:
            (B, K, P, h, w).
        """
        weight = torch.stack([cast(nn.Linear, project).weight for project in self.project])
        seen = torch.einsum("...kpd,pdn->...kpn", directions, weight)
        attended = self.gates(features)[..., None, None] * features[:, None]
        # Spelled out, as ONNX wants an ellipsis to stand for as many dimensions in both.
        rows = "kpc" if directions.ndim == 3 else "bkpc"
        if self.head == "pooled":
            return torch.einsum(f"{rows},bpchw->bkphw", seen, attended)
        height, width = self.grid_size
        seen = seen.view(*seen.shape[:-1], self.in_channels, height, width) * (height * width)
        return torch.einsum(f"{rows}hw,bpchw->bkphw", seen, attended)


def merge_attentions(features: Tensor, how: Merge = "concat") -> Tensor:
    """One descriptor per image for the classifier.

    Args:
        features: (B, P, D).
        how: "concat" -> (B, P·D), attention by attention; "sum" -> (B, D).

    Returns:
        The descriptors.

    Raises:
        LookcloserError: If ``how`` is unknown.
    """
    if how not in get_args(Merge):
        raise unknown(how, "way to merge attentions", get_args(Merge))
    return features.flatten(1) if how == "concat" else features.sum(dim=1)
