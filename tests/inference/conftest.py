"""A small network with random weights, as an engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.sizes import Grid
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import build_model

NAMES = ("blue", "green", "red")


@pytest.fixture(scope="session")
def make_engine() -> Callable[..., TorchEngine]:
    """An engine of `cam` by the seed of its weights."""

    def make(seed: int = 0, size: Grid = Grid(32, 48)) -> TorchEngine:
        torch.manual_seed(seed)
        header = ModelHeader(
            "cam",
            {"num_classes": 3, "backbone": "test_resnet", "stride": 8},
            "classification",
            NAMES,
            Preprocessing(size),
        )
        model = build_model("cam", header.arguments)
        return TorchEngine(model, header, torch.device("cpu"))

    return make
