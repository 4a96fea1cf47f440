"""A network that says what a table says, so that every score can be computed by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from lookcloser.core.choices import Task
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.types import Box, Output
from lookcloser.data import Catalog, Sample
from lookcloser.inference.engine import TorchEngine
from lookcloser.losses import ordered_paths
from lookcloser.models import Model

SIDE = 8
Boxes = Sequence[tuple[str | None, Box]]


class Scripted(Model):
    """Image number n is of the gray n; what is said of it stands in row n of the tables.

    Args:
        logits: (N, C).
        maps: (N, C, h, w).
        threshold: Of a tag; None for one class an image.
        silent: Whether it has no maps.
        extra: Further fields of the output, (N, …).
    """

    name, tasks, summary = "scripted", ("classification", "multilabel"), ""

    def __init__(self, logits, maps, threshold=None, *, silent=False, **extra):
        super().__init__()
        self.silent = silent
        self.logits, self.maps, self.threshold = logits, maps, threshold
        self.extra, self.asked = extra, []

    def forward(self, images, targets=None, top=None):
        rows = (images[:, 0, 0, 0] * 255).round().long()
        self.asked.append((rows.tolist(), None if targets is None else targets.tolist()))
        said = {name: table[rows] for name, table in self.extra.items()}
        logits, maps = self.logits[rows], self.maps[rows]
        if self.silent or (targets is None and top is None):
            return Output(logits, None if self.silent else maps, **said)
        tokens = logits.topk(min(top or 1, logits.shape[1])).indices if targets is None else targets
        return Output(logits, maps[torch.arange(len(rows))[:, None], tokens], tokens=tokens, **said)

    def answer(self, images, top):
        if self.threshold is None:
            return self(images, top=top)
        logits = self(images, top=1).logits
        tokens = ordered_paths(logits.sigmoid() > self.threshold, -logits)
        return self(images, targets=tokens.clamp(min=0))._replace(tokens=tokens)


@pytest.fixture
def scripted() -> Callable[..., TorchEngine]:
    """Makes an engine from logits (N, C), maps (N, C, h, w) and fields of the header."""

    def make(logits, maps=None, *, task: Task = "classification", extra=None, **header):
        logits = torch.as_tensor(np.asarray(logits, np.float32))
        noise = np.random.default_rng(0).random((*logits.shape, 4, 4))
        maps = torch.as_tensor(np.asarray(noise if maps is None else maps, np.float32))
        names = tuple("abcdefghij"[: logits.shape[1]])
        plain = Preprocessing((SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3)
        told = ModelHeader("scripted", {}, task, names, plain, **header)
        threshold = 0.5 if task == "multilabel" else None
        model = Scripted(logits, maps, threshold, **(extra or {}))
        return TorchEngine(model, told, torch.device("cpu"))

    return make


@pytest.fixture
def split_of() -> Callable[..., Catalog]:
    """The catalog of images 0, 1, … from their labels ("b" or "ab"), in memory."""

    def make(
        labels: Sequence[str],
        boxes: Sequence[Boxes] = (),
        *,
        task: Task = "classification",
        split: str = "test",
        unreadable: Sequence[int] = (),
        root: Path = Path("memory"),
    ) -> Catalog:
        samples = tuple(
            Sample(
                f"{number}.png",
                root / "nowhere.png" if number in unreadable else _gray(number),
                tuple(own),
                boxes=tuple(boxes[number]) if boxes else (),
                split=split,
            )
            for number, own in enumerate(labels)
        )
        names = tuple(sorted({label for own in labels for label in own}))
        return Catalog(root, "made", task, names, samples)

    return make


def _gray(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, np.uint8)
