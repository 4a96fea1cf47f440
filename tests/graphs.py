"""ONNX graphs of equal networks, exported once for all processes of a test session.

An export of the smallest network takes seconds, nearly all of them in torch's tracing; what is
made of its graph, and compared with the network, is made anew for each test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import onnx
import pytest
from filelock import FileLock
from torch import Tensor, nn
from torch.export import decomp_utils, exported_program
from torch.onnx._internal.exporter._registration import ONNXRegistry

from lookcloser.export import graphs
from lookcloser.export import onnx as writing
from lookcloser.models.file_form import Decoding

Graphs = dict[str, onnx.ModelProto]


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Keep each graph in ``folder``, which other processes share, and read it from there."""

    def kept(make: Callable[[], Graphs], *key: object) -> Graphs:
        place = folder / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        with FileLock(f"{place}.lock"):
            if not place.exists():
                made = make()
                place.mkdir()
                for name, graph in made.items():
                    onnx.save(graph, place / f"{name}.onnx")
                return made
        return {file.stem: onnx.load(file) for file in place.iterdir()}

    def image_graph(graph: graphs.ImageGraph, size: tuple[int, int]) -> onnx.ModelProto:
        key = ("image", digest(graph), graph.task, graph.temperature, size)
        return kept(lambda: {"image": graphs.image_graph(graph, size)}, *key)["image"]

    def decoding_graphs(decoding: Decoding, features: Tensor) -> Graphs:
        key = (digest(decoding.step), decoding.longest, features.shape)
        return kept(lambda: graphs.decoding_graphs(decoding, features), *key)

    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        # What torch's exporter knows is read once, and what operations there are.
        known = staticmethod(cache(ONNXRegistry.from_torchlib))
        patch.setattr(ONNXRegistry, "from_torchlib", known)
        name = "_collect_all_valid_cia_ops"
        operations = cache(getattr(decomp_utils, name))
        for module in (decomp_utils, exported_program):
            patch.setattr(module, name, operations)
        patch.setattr(writing, "image_graph", image_graph)
        patch.setattr(writing, "decoding_graphs", decoding_graphs)
        yield


def digest(module: nn.Module) -> str:
    """What tells two networks apart: their modules, settings and weights."""
    found = hashlib.sha256(repr(module).encode())
    for name, value in sorted(module.state_dict().items()):
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()
