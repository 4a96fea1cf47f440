"""One small network of every method, exported once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data.vocabulary import END
from lookcloser.export import Differences, write_onnx
from lookcloser.inference.engine import TorchEngine
from lookcloser.models import Model, build_model

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SIZE = 48
TEMPERATURE = 3.0  # it is in the graph: the same one everywhere, so that it is exported once
# Graphs hold each step of an answer, and take as long to export: the longest is for one of a kind.
WORDS = {"max_length": 2, "hidden_size": 24, "embed_size": 12}
LABELS = {"max_labels": 2, "hidden_size": 24}
LOOK = {"places": 2, "share": 0.5, "view": 24, "whole": 0.3, "whole_temperature": 1.5}
CASES = {
    "cam": ("cam", {}),
    "cam of a transformer": ("cam", {"backbone": "test_vit", "stride": None}),
    "cam looking twice": ("cam", {"rooted": True, **LOOK}),
    "cam in closed form": ("cam", {"rooted": True, "rank": 3}),
    "sigmoid": ("sigmoid", {"threshold": 0.6}),
    "feedback": ("feedback", {"stride": None}),
    "feedback looking twice": ("feedback", {"stride": None, **LOOK}),
    "osme": ("osme", {"part_width": 16}),
    "osme looking twice": ("osme", {"part_width": 16, "rank": 3, **LOOK}),
    "racnn": ("racnn", {"scales": 2}),
    "racnn by evidence": ("racnn", {"apn": "evidence", "size": 24}),
    "cnnrnn": ("cnnrnn", LABELS),
    "cnnrnn exact": ("cnnrnn", {**LABELS, "decoder": "exact"}),
    "rnn": ("rnn", {**WORDS, "beam": 1}),
    "gru drawn": ("gru", {**WORDS, "max_length": 3, "temperature": 1.0, "top_p": 0.9}),
    "lstm attending": ("lstm", {**WORDS, "attend": True, "tied": True}),
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A network, what belongs to it, and its file."""

    engine: TorchEngine
    path: Path
    differences: Differences


def make_engine(case: str, classes: int = 9) -> TorchEngine:
    """A random network whose answers differ from image to image."""
    torch.manual_seed(3)
    method, options = CASES[case]
    given = {"num_classes": classes, "backbone": "test_resnet", "stride": 8, **options}
    model = build_model(method, given).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and parameter.shape[0] in (classes, classes + 1, classes + 2):
                parameter.normal_(std=2.0)
        if method == "cnnrnn":
            model.paths.embedding.weight[model.paths.end] = 0.0  # or the empty set wins
        if "captioning" in model.tasks:
            model.word_bias[END] = -2.0
        if getattr(model, "solution", None) is not None:
            for buffer in filter(torch.is_floating_point, model.solution.buffers()):
                buffer.uniform_(0.5, 1.0)
    return TorchEngine(model, header_of(model, classes), torch.device("cpu"))


def header_of(model: Model, classes: int) -> ModelHeader:
    task = model.tasks[0]
    kind = "word" if task == "captioning" else "step" if model.sequential else "map"
    names = tuple(f"class {index}" for index in range(classes))
    settings = Preprocessing((SIZE, SIZE), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    return ModelHeader(model.name, {}, task, names, settings, evidence_kind=kind)


def drawn_pixels(count: int, size: int = SIZE) -> np.ndarray:
    """(count, 3, size, size): soft blots, as photographs rather than noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 3, 6, 6), dtype=np.uint8)
    return coarse.repeat(size // 6, axis=2).repeat(size // 6, axis=3)


@pytest.fixture(scope="session", autouse=True)
def _graphs_once(graphs_once: None) -> None:
    """See `tests.graphs`."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """By the name of a case; each is exported when it is first asked for."""
    folder = tmp_path_factory.mktemp("onnx")

    @cache
    def export(case: str) -> Exported:
        engine = make_engine(case)
        path = folder / f"{case.replace(' ', '-')}.onnx"
        found = write_onnx(
            engine.model, engine.header, path, reference=engine, pixels=drawn_pixels(5)
        )
        return Exported(engine, path, found)

    return export
