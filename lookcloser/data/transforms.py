"""From an image to the network's input, in evaluation and in training (torchvision v2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from lookcloser.core.preprocessing import Preprocessing, input_pixels, normalized

Transform = Callable[[Image.Image], Tensor]

AUGMENTATIONS = ("none", "shift", "crop", "trivial")


@dataclass(frozen=True)
class Augmentation:
    """What training does to an image.

    Attributes:
        kind: "none"; "shift" (padding and a random crop of the same size); "crop" (a random part
            of the image, resized); "trivial" ("crop" and TrivialAugment).
        crop_area: Smallest share of the image that "crop" keeps.
        flip: Whether left and right are swapped half of the time.
        erase: Chance that a random rectangle is blanked.
    """

    kind: str = "crop"
    crop_area: float = 0.6
    flip: bool = True
    erase: float = 0.0


def evaluation_transform(preprocessing: Preprocessing) -> Transform:
    """PIL RGB image -> float32 tensor (3, H, W), the same every time."""
    return partial(_prepare, preprocessing=preprocessing)


def _prepare(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    return torch.from_numpy(normalized(input_pixels(image, preprocessing), preprocessing))


def training_transform(preprocessing: Preprocessing, augmentation: Augmentation) -> Transform:
    """PIL RGB image -> float32 tensor (3, H, W), random by torch's global generator."""
    mode = InterpolationMode(preprocessing.interpolation)
    size = preprocessing.size
    steps: list[Any] = [v2.PILToTensor()]
    if augmentation.kind in {"crop", "trivial"}:
        area = (augmentation.crop_area, 1.0)
        steps.append(v2.RandomResizedCrop(size, scale=area, interpolation=mode, antialias=True))
    else:
        steps.append(v2.Resize(size, mode, antialias=True))
    if augmentation.kind == "shift":
        margin = max(1, round(min(size) / 16))
        steps.append(v2.RandomCrop(size, padding=margin, padding_mode="reflect"))
    if augmentation.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augmentation.kind == "trivial":
        steps.append(v2.TrivialAugmentWide(interpolation=mode))
    steps.extend(_finish(preprocessing))
    if augmentation.erase:
        steps.append(v2.RandomErasing(augmentation.erase))
    composed: Transform = v2.Compose(steps)
    return composed


def _finish(preprocessing: Preprocessing) -> list[v2.Transform]:
    return [
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
    ]
