"""The training step of classification."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from lookcloser.data.dataset import Batch, mixed_seed
from lookcloser.models.base import Model
from lookcloser.training.options import TrainOptions


class ClassificationModule(pl.LightningModule):
    """Cross-entropy on the logits of any method, with the schedule and rates of the options.

    Args:
        model: The method's network.
        options: How to train.
        num_classes: C.
        total_steps: Optimiser steps of the whole training.
        warmup_steps: The first of them, in which the rate rises linearly.
        class_weights: (C,) weights of the loss, or None.
    """

    def __init__(
        self,
        model: Model,
        options: TrainOptions,
        *,
        num_classes: int,
        total_steps: int,
        warmup_steps: int,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.model: Model = model
        self.class_weights: Tensor | None
        self.network: nn.Module = torch.compile(model) if options.compile else model  # type: ignore[assignment]  # compile keeps the module's interface
        self.options = options
        self.total_steps, self.warmup_steps = total_steps, warmup_steps
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.mix = _mixing(options, num_classes)

    def on_train_epoch_start(self) -> None:
        """Keep frozen batch norms in evaluation mode; Lightning has just switched to training."""
        if self.options.freeze_norm:
            for module in self.model.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def on_train_batch_start(self, _batch: Batch, index: int) -> None:
        """Seed what is random inside a step, so that a resumed epoch equals an undisturbed one."""
        torch.manual_seed(mixed_seed(self.options.seed, self.current_epoch, index, -2))

    def training_step(self, batch: Batch, _index: int) -> Tensor | None:
        """Mean cross-entropy of a batch; None where every image of it was unreadable."""
        if not len(batch.targets):
            return None
        images, targets = self._images(batch), batch.targets
        if self.mix is not None:
            images, targets = self.mix(images, targets)
        loss = F.cross_entropy(
            self.network(images).logits,
            targets,
            weight=self.class_weights,
            label_smoothing=self.options.label_smoothing,
        )
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Log plain cross-entropy and top-1 accuracy."""
        if not len(batch.targets):
            return
        logits = self.network(self._images(batch), targets=1).logits
        count = len(logits)
        loss = F.cross_entropy(logits, batch.targets)
        correct = (logits.argmax(dim=1) == batch.targets).float().mean()
        self.log("val_loss", loss, batch_size=count)
        self.log("val_acc", correct, batch_size=count, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW or SGD on four groups, with linear warm-up and a cosine down to zero."""
        groups = parameter_groups(self.model, self.options)
        optimizer: torch.optim.Optimizer
        if self.options.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=self.options.lr, momentum=0.9, nesterov=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.options.lr)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        """Share of the peak rate at an optimiser step."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        done = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _images(self, batch: Batch) -> Tensor:
        if self.options.channels_last:
            return batch.images.contiguous(memory_format=torch.channels_last)
        return batch.images


def parameter_groups(model: Model, options: TrainOptions) -> list[dict[str, Any]]:
    """Backbone and head, each with and without weight decay (none on biases and norms)."""
    share = options.backbone_lr
    if share is None:
        share = 1.0 if options.weights == "none" else 0.3
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        key = (name.startswith("backbone."), parameter.ndim > 1)
        groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": options.lr * (share if in_backbone else 1.0),
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def _mixing(options: TrainOptions, num_classes: int) -> v2.Transform | None:
    choices = []
    if options.mixup > 0:
        choices.append(v2.MixUp(alpha=options.mixup, num_classes=num_classes))
    if options.cutmix > 0:
        choices.append(v2.CutMix(alpha=options.cutmix, num_classes=num_classes))
    return v2.RandomChoice(choices) if choices else None
