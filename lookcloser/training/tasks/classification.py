"""Training on one class per image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.models.base import Model
from lookcloser.training.options import TrainOptions
from lookcloser.training.tasks.mixing import mixing
from lookcloser.training.tasks.module import TrainingModule


class ClassificationModule(TrainingModule):
    """Cross-entropy with label smoothing, class weights, MixUp and CutMix; see `TrainingModule`."""

    score = "val_acc"
    score_title = "top-1"

    def __init__(self, model: Model, options: TrainOptions, catalog: Catalog, **steps: Any) -> None:
        super().__init__(model, options, catalog, **steps)
        self.class_weights: Tensor | None
        weights = _class_weights(catalog) if options.balance == "weights" else None
        self.register_buffer("class_weights", weights, persistent=False)
        self._mixing = mixing(model, options, len(catalog.names))

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of logits (B, C) and classes (B,) or mixed targets (B, C)."""
        return F.cross_entropy(
            logits,
            targets,
            weight=self.class_weights,
            label_smoothing=self.options.label_smoothing,
        )

    def judge(self, output: Output, targets: Tensor) -> dict[str, Tensor]:
        """Plain cross-entropy and top-1 accuracy."""
        correct = output.logits.argmax(dim=1) == targets
        return {
            "val_loss": F.cross_entropy(output.logits, targets),
            "val_acc": correct.float().mean(),
        }

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """MixUp or CutMix, by lot where both are on."""
        if self._mixing is not None:
            images, targets = self._mixing(images, targets)
        return images, targets


def _class_weights(catalog: Catalog) -> Tensor:
    """Inverse frequencies with a mean of 1 over the training images."""
    of_class = catalog.counts()["train"]
    counts = torch.tensor([of_class[name] for name in catalog.names])
    return counts.sum() / (len(counts) * counts.clamp(min=1).float())
