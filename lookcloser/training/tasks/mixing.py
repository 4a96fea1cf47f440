"""MixUp and CutMix, for the tasks whose targets can be mixed."""

from __future__ import annotations

from torchvision.transforms import v2

from lookcloser.core.errors import UsageError
from lookcloser.models.base import Model
from lookcloser.training.options import TrainOptions


def mixing(model: Model, options: TrainOptions, num_classes: int) -> v2.Transform | None:
    """MixUp or CutMix of a batch of images with targets (B,) or (B, C), by lot where both are on.

    Raises:
        LookcloserError: For a model whose losses take no mixed targets.
    """
    choices = []
    if options.mixup > 0:
        choices.append(v2.MixUp(alpha=options.mixup, num_classes=num_classes))
    if options.cutmix > 0:
        choices.append(v2.CutMix(alpha=options.cutmix, num_classes=num_classes))
    if choices and not model.soft_targets:
        raise UsageError(
            f"--mixup and --cutmix: not with --method {model.name}, whose loss needs whole labels",
            fix="Leave them out",
        )
    return v2.RandomChoice(choices) if choices else None
