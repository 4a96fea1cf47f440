"""Words that options choose from and functions take: one spelling for both, and no torch."""

from __future__ import annotations

from typing import Literal

# Of `layers`.
GradientMode = Literal["grid", "mask", "saliency"]
ProposalHead = Literal["light", "paper"]
OsmeHead = Literal["pooled", "flattened"]
Merge = Literal["concat", "sum"]
Gate = Literal["sigmoid", "relu"]

# Of `metrics`: what the threshold of a box is a share of.
BoxRule = Literal["max", "range"]

# Of `losses`.
Reduction = Literal["paper", "mean"]
MamcForm = Literal["npair", "hinge"]
RankingForm = Literal["probability", "log"]
