"""Training on any number of tags per image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.errors import UsageError
from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.losses import label_sets
from lookcloser.models.base import Model
from lookcloser.training.options import TrainOptions
from lookcloser.training.tasks.mixing import mixing
from lookcloser.training.tasks.module import TrainingModule


class MultilabelModule(TrainingModule):
    """Binary cross-entropy, or the loss of the method; see `TrainingModule`.

    The best epoch is that of the highest F1 of the images' sets, as `predict` would answer them:
    every method is judged by its own answers, and by a score that rises long before whole sets are
    right.

    Raises:
        LookcloserError: For options of classes alone.
    """

    score = "val_f1"
    score_title = "F1 of sets"

    def __init__(self, model: Model, options: TrainOptions, catalog: Catalog, **steps: Any) -> None:
        super().__init__(model, options, catalog, **steps)
        if options.balance != "none":
            raise UsageError(
                f"--balance {options.balance}: not for tags, which have no one class per image",
                fix="Try `--method sigmoid --loss asymmetric`",
            )
        self._mixing = mixing(model, options, len(catalog.names))

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of logits and targets (B, C): sum over labels, mean over images.

        Like the loss of a path it is the negative log-likelihood of a set, in nats. Labels are not
        smoothed: a little of every absent label would outweigh the few that are there.
        """
        costs = F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return costs.sum(dim=1).mean()

    def judge(self, output: Output, targets: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy, F1 of the sets, and the share of sets that are wholly right."""
        assert output.tokens is not None  # of an answer
        answered = label_sets(output.tokens, targets.shape[1])
        truth = targets > 0
        right = (answered & truth).sum(dim=1)
        total = answered.sum(dim=1) + truth.sum(dim=1)
        f1 = torch.where(total > 0, 2 * right / total.clamp(min=1), 1.0)
        return {
            "val_loss": self.criterion(output.logits, targets),
            "val_f1": f1.mean(),
            "val_exact": (answered == truth).all(dim=1).float().mean(),
        }

    def look(self, images: Tensor) -> Output:
        """The model's answer, decoded."""
        return self.model.answer(images, top=1)

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """MixUp or CutMix, by lot where both are on."""
        if self._mixing is not None:
            images, targets = self._mixing(images, targets)
        return images, targets
