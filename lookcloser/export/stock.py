"""Classifiers that are no method of ours, in the form that a file holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.hooks import watching
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.explain.heads import PooledHead, classifier_weight, pooled_head
from lookcloser.models.file_form import FileForm
from lookcloser.runtime.outputs import ArrayOutput, Engine


def stock_form(model: nn.Module, size: Grid) -> FileForm:
    """What a file of any classifier computes: logits, and class maps where its head allows them.

    Args:
        model: Normalized images (B, 3, H, W) -> logits (B, C), in evaluation mode, on the CPU.
        size: Of the input.
    """
    example = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    try:
        head = pooled_head(model, example)
    except LookcloserError:  # its other views are gradients, which no file holds
        return FileForm(_Answering(model))
    return FileForm(_Mapping(model, head))


class _Answering(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Output:
        return Output(self.model(images))


class _Mapping(nn.Module):
    """Class maps as `lookcloser.explain.cam` gives them, of every class."""

    def __init__(self, model: nn.Module, head: PooledHead) -> None:
        super().__init__()
        self.model, self.head = model, head
        modules = dict(model.named_modules())
        self.layer = modules[head.layer]
        self.classifier = None if head.classifier is None else modules[head.classifier]

    def forward(self, images: Tensor) -> Output:
        seen: list[Tensor] = []

        def see(_name: str, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            seen[:] = [output]
            return output.clone()  # what follows in place must not reach our features

        with watching({self.head.layer: self.layer}, see):
            logits = self.model(images)
        features = self.head.maps(seen[0])
        maps = features
        if self.classifier is not None:
            weight = classifier_weight(self.classifier)
            assert weight is not None  # as it was found
            maps = torch.einsum("bdhw,cd->bchw", features, weight)
        return Output(logits, maps, vector=features.mean(dim=(2, 3)))


@dataclass(frozen=True, eq=False)
class WithoutMaps:
    """An engine whose evidence is left out, to compare a file without it with."""

    engine: Engine

    @property
    def header(self) -> ModelHeader:
        """See `lookcloser.runtime.Engine`."""
        return self.engine.header

    def answer(self, pixels: NDArray[np.uint8], top: int) -> ArrayOutput:
        """See `lookcloser.runtime.Engine`."""
        return self.engine.answer(pixels, top)._replace(maps=None)

    def evidence(self, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]) -> ArrayOutput:
        """See `lookcloser.runtime.Engine`."""
        return self.engine.evidence(pixels, tokens)._replace(maps=None)

    def fingerprint(self) -> str:
        """See `lookcloser.runtime.Engine`."""
        return self.engine.fingerprint()
