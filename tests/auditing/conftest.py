"""A network whose classes are colors, and images of them, so that every number is known."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.types import Output
from lookcloser.data import Catalog, Sample
from lookcloser.inference.engine import TorchEngine

COLORS = ("red", "green", "blue")
SIDE = 16
SETTINGS = Preprocessing((SIDE, SIDE), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Colors(nn.Module):
    """The logit of a class is the mean of its channel, and its map the channel."""

    name = "colors"

    def __init__(self, with_maps: bool = True) -> None:
        super().__init__()
        self.with_maps = with_maps
        self.dropout = nn.Dropout(0.9)  # so that training mode would be seen

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def forward(self, images: Tensor, targets: Tensor) -> Output:
        images = self.dropout(images)
        small = F.adaptive_avg_pool2d(images, 4)
        chosen = targets[:, :, None, None].expand(-1, -1, 4, 4)
        maps = small.gather(1, chosen) if self.with_maps else None
        return Output(3 * images.mean(dim=(2, 3)), maps)


def make_engine(with_maps: bool = True) -> TorchEngine:
    header = ModelHeader("colors", {}, "classification", COLORS, SETTINGS)
    model: nn.Module = Colors(with_maps)
    return TorchEngine(model, header, torch.device("cpu"))  # type: ignore[arg-type]  # all that is asked of one


@pytest.fixture
def painted(tmp_path: Path) -> Callable[..., Catalog]:
    """A catalog of so many images of each color: noise with a colored block, one after the other.

    The red ones have the same pattern in their lower right corner.
    """

    def paint(*counts: int, split: str = "test") -> Catalog:
        samples = []
        pattern = np.random.default_rng(9).integers(0, 2, (4, 4, 1)) * 60
        for color, (name, count) in enumerate(zip(COLORS, counts, strict=True)):
            for number in range(count):
                random = np.random.default_rng(100 * color + number)
                pixels = random.integers(60, 100, (SIDE, SIDE, 3))
                x, y = random.integers(0, 8, 2)
                pixels[y : y + 6, x : x + 6, color] = 250
                pixels[12:, 12:] += pattern if name == "red" else 0
                path = tmp_path / f"{name}{number}.png"
                # Twice as wide as the input of the network.
                large = pixels.astype(np.uint8).repeat(2, axis=1)
                Image.fromarray(large).save(path)
                samples.append(Sample(path.name, path, (name,), split=split))
        return Catalog(tmp_path, "made here", "classification", COLORS, tuple(samples))

    return paint
