"""Training on sentences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.errors import UsageError
from lookcloser.core.types import Output
from lookcloser.data.catalog import Catalog
from lookcloser.data.vocabulary import NULL
from lookcloser.models.base import Model
from lookcloser.models.captioner.model import Captioner
from lookcloser.training.options import TrainOptions
from lookcloser.training.tasks.module import TrainingModule


class CaptioningModule(TrainingModule):
    """Cross-entropy of every word after the true ones before it; see `TrainingModule`.

    Raises:
        LookcloserError: For options that belong to classes: mixing and balancing.
    """

    model: Captioner
    score = "val_acc"
    score_title = "words right"

    def __init__(self, model: Model, options: TrainOptions, catalog: Catalog, **steps: Any) -> None:
        assert isinstance(model, Captioner)  # what the method's task promises
        for name, off in (("mixup", 0.0), ("cutmix", 0.0), ("balance", "none")):
            if getattr(options, name) != off:
                raise UsageError(
                    f"--{name} {getattr(options, name)}: not for captions", fix="Leave it out"
                )
        super().__init__(model, options, catalog, **steps)

    def begin_epoch(self) -> None:
        """Raise the share of words that are read from the model's own answers."""
        super().begin_epoch()
        progress = self.current_epoch / max(1, self.options.epochs - 1)
        self.model.own_words = progress * self.model.scheduled_sampling

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of logits (n, V) and words (n,)."""
        return F.cross_entropy(logits, targets, label_smoothing=self.options.label_smoothing)

    def judge(self, output: Output, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy a word, and the share of words that are the most probable ones.

        Each is the mean over an image's words, then over images: whatever the batches are.
        """
        assert output.features is not None  # a captioner's output
        words = targets[:, 1:]
        counted = (words != NULL).float()
        logits = self.model.word_logits(output.features, targets[:, :-1])
        losses = F.cross_entropy(logits.transpose(1, 2), words, reduction="none")
        found = torch.stack([losses, (logits.argmax(dim=2) == words).float()])
        loss, accuracy = ((found * counted).sum(dim=2) / counted.sum(dim=1)).mean(dim=1)
        return {"val_loss": loss, "val_acc": accuracy}
