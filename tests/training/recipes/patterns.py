"""Images in which a small pattern is the class: too fine for a look at the whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from lookcloser.data.catalog import Sample
from lookcloser.models import CAM
from lookcloser.models.base import make_backbone

SIDE, PATCH, INPUT = 96, 24, 32
NAMES = ("columns", "grid", "rows")


def drawn(name: str) -> NDArray[np.int64]:
    """The pattern of a class, (PATCH, PATCH) of 0 and 1."""
    y, x = np.mgrid[:PATCH, :PATCH] // 2
    pattern: NDArray[np.int64] = {"columns": x % 2, "grid": (x + y) % 2, "rows": y % 2}[name]
    return pattern


def scenes(count: int, split: str, seed: int, side: int = SIDE) -> Iterator[Sample]:
    """Noise with one small pattern, which is the class."""
    generator = np.random.default_rng(seed)
    for number in range(count):
        name = NAMES[number % 3]
        pixels = generator.integers(60, 110, (side, side, 3)).astype(np.uint8)
        x, y = (int(place) for place in generator.integers(0, side - PATCH + 1, 2))
        pixels[y : y + PATCH, x : x + PATCH] = 90 + 130 * drawn(name)[..., None]
        box = (float(x), float(y), float(x + PATCH), float(y + PATCH))
        file = f"{split}/{name}/{number}.png"
        yield Sample(file, pixels, (name,), boxes=((name, box),), split=split)


def write_weights(path: Path, stride: int | None = 8) -> str:
    """Of a network that has learned nothing: random features tell such patterns apart."""
    torch.manual_seed(0)
    net = make_backbone(CAM.Options("test_resnet", stride=stride)).net
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    return str(path)
