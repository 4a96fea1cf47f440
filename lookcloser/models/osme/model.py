"""Several attentions over one backbone, told apart by the MAMC loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.layers.class_head import best_classes, chosen_classes
from lookcloser.layers.osme import OSME, merge_attentions
from lookcloser.losses.gather import gather_across_ranks
from lookcloser.losses.mamc import mamc_terms
from lookcloser.models.backbone import Backbone
from lookcloser.models.base import Criterion, make_backbone
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.models.osme.options import METHOD, OSMEOptions


class OSMENet(LooksTwice, method=METHOD):
    """One-squeeze multi-excitation with the MAMC loss (Sun et al., ECCV 2018).

    ``logits = W·merge(f^1 … f^P) + b`` with the features of `lookcloser.layers.OSME`. The loss is
    cross-entropy plus λ times the three terms of `lookcloser.losses.mamc_terms`, on batches of
    pairs. As everything behind the backbone is linear in the gated features, the logits split
    exactly: the mean over places of a class's map, which is the sum of its attentions' maps, is
    its logit less what the biases give.

    Args:
        num_classes: C.
        options: See `OSMEOptions`; λ is its ``mamc_weight``, and dropout is on the merged features.
            With ``mamc_gather`` the loss of several training processes is that of one with the
            whole batch; else each has fewer negatives the more processes there are. The features
            are a few hundred kilobytes.

    Raises:
        LookcloserError: For a backbone that cannot be made.
    """

    Options = OSMEOptions
    backbone: Backbone

    pairs: ClassVar[bool] = True
    soft_targets: ClassVar[bool] = False

    def __init__(self, num_classes: int, options: OSMEOptions | None = None) -> None:
        super().__init__()
        options = options or OSMEOptions()
        parts, width, size = options.parts, options.part_width, options.size
        self.gathers = options.mamc_gather
        self.mamc_weight = options.mamc_weight
        self.reduction, self.form = options.mamc_reduction, options.mamc_form
        self.backbone = make_backbone(options)
        flattened = options.part_head == "flattened"
        grid = self.backbone.grid(Grid(size, size)) if flattened else Grid(1, 1)
        self.osme = OSME(
            self.backbone.width, grid, attentions=parts, width=width, head=options.part_head
        )
        self.merge = options.merge
        self.dropout = nn.Dropout(options.drop_rate)
        merged = merge_attentions(torch.empty(1, parts, width, device="meta"), self.merge)
        self.head = nn.Linear(merged.shape[1], num_classes)
        self.add_look(num_classes, options)

    @property
    def slow_parts(self) -> tuple[nn.Module, ...]:
        """Backbone and attentions: at the classifier's rate the features f grow without bounds."""
        return (self.backbone, self.osme)

    def look(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `LooksTwice`: features of the backbone (B, D, h, w), of the attentions (B, P, D').

        Raises:
            LookcloserError: For the flattened head, if the images have another size than ``size``.
        """
        grid = self.backbone(images)
        self._check_grid(grid)
        return grid, self.osme(grid)

    def read(
        self, seen: tuple[Tensor, ...], targets: Tensor | None = None, top: int | None = None
    ) -> Output:
        """Logits, class maps, and a map of each attention.

        Args:
            seen: As `look` gives it.
            targets: Whose maps; see `Model.forward`.
            top: As there.

        Returns:
            ``logits`` (B, C); ``maps`` (B, C or K, h, w); ``tokens`` (B, K) or None; ``part_maps``
            (B, P, h, w) of the first of ``tokens``, else of the best class; ``features``
            (B, P, D), what the MAMC loss compares.
        """
        grid, features = seen
        merged = merge_attentions(features, self.merge)
        logits = self.head(self.dropout(merged))
        rows = self._rows()
        tokens = chosen_classes(logits, targets, top)
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
                f"features of {Grid(*grid.shape[2:])} places for a flattened head made for "
                f"{self.osme.grid_size}",
                fix="Give images of the size it was built with, or use the pooled head",
            )
