"""Several attentions over one backbone, told apart by the MAMC loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError, unknown
from lookcloser.core.types import Output
from lookcloser.layers.osme import OSME, Merge, OsmeHead, merge_attentions
from lookcloser.losses.gather import gather_across_ranks
from lookcloser.losses.mamc import MamcForm, Reduction, mamc_terms
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Criterion, Model
from lookcloser.models.cam.model import best_classes


class OSMENet(Model):
    """One-squeeze multi-excitation with the MAMC loss (Sun et al., ECCV 2018).

    ``logits = W·merge(f^1 … f^P) + b`` with the features of `lookcloser.layers.OSME`. The loss is
    cross-entropy plus λ times the three terms of `lookcloser.losses.mamc_terms`, on batches of
    pairs. As everything behind the backbone is linear in the gated features, the logits split
    exactly: the mean over places of a class's map, which is the sum of its attentions' maps, is
    its logit less what the biases give.

    Args:
        num_classes: C.
        backbone: A timm model name.
        stride: See `Backbone`.
        model_kwargs: Further arguments of the timm model.
        drop_rate: Dropout on the merged features in training.
        size: Side of the square input; the flattened head alone depends on it.
        parts: P, the number of attentions.
        part_width: Features of each attention.
        part_head: "pooled" or "flattened", see `lookcloser.layers.OSME`.
        merge: "concat" or "sum" of the attentions' features for the classifier.
        mamc_weight: λ; 0 leaves cross-entropy alone.
        mamc_reduction: "mean" over positives or the "paper"'s sum.
        mamc_form: "npair" or "hinge".
        mamc_gather: Whether each of several training processes compares its images with those of
            all. Then the loss is that of one process with the whole batch; else each has fewer
            negatives the more processes there are. The features are a few hundred kilobytes.

    Raises:
        LookcloserError: For an unknown choice, fewer than one part, or a negative weight.
    """

    name: ClassVar[str] = "osme"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    summary: ClassVar[str] = "several attentions kept apart by a loss on pairs of images (MAMC)"
    pairs: ClassVar[bool] = True
    soft_targets: ClassVar[bool] = False

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet18",
        stride: int | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        drop_rate: float = 0.0,
        size: int = 224,
        parts: int = 2,
        part_width: int = 1024,
        part_head: OsmeHead = "pooled",
        merge: Merge = "concat",
        mamc_weight: float = 0.1,
        mamc_reduction: Reduction = "mean",
        mamc_form: MamcForm = "npair",
        mamc_gather: bool = True,
    ) -> None:
        super().__init__()
        _check(parts, mamc_weight, mamc_reduction, mamc_form)
        self.gathers = mamc_gather
        self.mamc_weight, self.reduction, self.form = mamc_weight, mamc_reduction, mamc_form
        self.backbone = Backbone(backbone, stride=stride, options=model_kwargs)
        grid = (1, 1) if part_head == "pooled" else self.backbone.grid((size, size))
        self.osme = OSME(
            self.backbone.width, grid, attentions=parts, width=part_width, head=part_head
        )
        self.merge: Merge = merge
        self.dropout = nn.Dropout(drop_rate)
        merged = merge_attentions(torch.empty(1, parts, part_width, device="meta"), merge)
        self.head = nn.Linear(merged.shape[1], num_classes)

    @property
    def slow_parts(self) -> tuple[nn.Module, ...]:
        """Backbone and attentions: at the classifier's rate the features f grow without bounds."""
        return (self.backbone, self.osme)

    def forward(self, images: Tensor, targets: Tensor | int | None = None) -> Output:
        """Logits, class maps, and a map of each attention.

        Args:
            images: (B, 3, H, W), normalised as the backbone expects.
            targets: Whose maps: None for every class, k for the k best, or classes (B, K).

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w); ``tokens`` (B, K) or None; ``part_maps``
            (B, P, h, w) of the first of ``tokens``, else of the best class; ``features``
            (B, P, D), what the MAMC loss compares.

        Raises:
            LookcloserError: For the flattened head, if the images have another size than ``size``.
        """
        grid = self.backbone(images)
        self._check_grid(grid)
        features = self.osme(grid)
        merged = merge_attentions(features, self.merge)
        logits = self.head(self.dropout(merged))
        rows = self._rows()
        tokens = targets if isinstance(targets, Tensor) else None
        if isinstance(targets, int):
            tokens = best_classes(logits, targets)
        first = best_classes(logits, 1) if tokens is None else tokens[:, :1]
        directions = rows if tokens is None else rows[tokens]
        return Output(
            logits=logits,
            maps=self.osme.evidence(grid, directions).sum(dim=2),
            tokens=tokens,
            part_maps=self.osme.evidence(grid, rows[first])[:, 0],
            features=features,
            vector=merged,
        )

    def losses(self, output: Output, targets: Tensor, criterion: Criterion) -> dict[str, Tensor]:
        """Cross-entropy ("ce") and λ times the three terms of MAMC ("sasc", "sadc", "dasc")."""
        terms = {"ce": criterion(output.logits, targets)}
        if self.mamc_weight and output.features is not None:
            features, labels = output.features, targets
            if self.gathers:
                features, labels = gather_across_ranks(features, labels)
            compared = mamc_terms(features, labels, self.reduction, form=self.form)
            terms |= {name: self.mamc_weight * term for name, term in compared._asdict().items()}
        return terms

    def _rows(self) -> Tensor:
        """(C, P, D): what each feature of each attention adds to each logit."""
        weight, parts = self.head.weight, len(self.osme.project)
        if self.merge == "sum":
            return weight[:, None].expand(-1, parts, -1)
        return weight.view(len(weight), parts, -1)

    def _check_grid(self, grid: Tensor) -> None:
        if self.osme.head == "flattened" and tuple(grid.shape[2:]) != self.osme.grid_size:
            raise LookcloserError(
                f"features of {tuple(grid.shape[2:])} places for a flattened head made for "
                f"{self.osme.grid_size}",
                fix="Give images of the size it was built with (--size), or use the pooled head",
            )


def _check(parts: int, weight: float, reduction: str, form: str) -> None:
    if parts < 1 or weight < 0:
        raise LookcloserError(
            f"parts {parts}, mamc_weight {weight}",
            allowed="At least one part, and a weight of 0 or more",
        )
    if reduction not in get_args(Reduction):
        raise unknown(reduction, "--mamc-reduction", get_args(Reduction))
    if form not in get_args(MamcForm):
        raise unknown(form, "--mamc-form", get_args(MamcForm))
