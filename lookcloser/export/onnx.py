"""A trained model as one ONNX file: network, evidence, decoder, names and preprocessing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.hooks import evaluating
from lookcloser.core.sizes import Grid
from lookcloser.core.storage.atomic import replacing
from lookcloser.export.check import Differences, compare
from lookcloser.export.graphs import FEATURES, MAPS, ImageGraph, decoding_graphs, image_graph
from lookcloser.export.model_api import model_info
from lookcloser.export.stock import WithoutMaps, stock_form
from lookcloser.models.base import Model
from lookcloser.models.file_form import FileForm
from lookcloser.runtime.onnx_engine import OnnxEngine
from lookcloser.runtime.onnx_file import (
    GRAPH_KEY,
    KEY,
    LARGEST_FILE,
    PARTS_KEY,
    Parts,
    graph_text,
    parts_text,
    read_onnx,
)
from lookcloser.runtime.outputs import Engine
from lookcloser.version import __version__


def write_onnx(
    model: nn.Module,
    header: ModelHeader,
    path: str | Path,
    *,
    reference: Engine,
    pixels: NDArray[np.uint8],
) -> Differences:
    """Export ``model``, on the CPU, and check the file against it.

    Of a classifier that is no `Model` the file has maps where `lookcloser.explain.cam` has them;
    other views are gradients, which no file computes, and the file answers without evidence.

    Args:
        model: The network: a `Model`, or any classifier.
        header: What belongs to it.
        path: The file to write, whole or not at all.
        reference: The same network, asked in torch.
        pixels: (B, 3, H, W) images to compare on.

    Returns:
        The largest differences.

    Raises:
        LookcloserError: For a network that cannot be exported, a file that answers otherwise, which
            is not kept, and one that cannot be written.
    """
    built = build_onnx(model, header)
    if not isinstance(model, Model) and MAPS not in {item.name for item in built.graph.output}:
        reference = WithoutMaps(reference)
    with replacing(Path(path)) as temporary:
        save(built, temporary)
        found = compare(OnnxEngine(read_onnx(temporary)), reference, pixels)
        found.require_equal(path)
    return found


def build_onnx(model: nn.Module, header: ModelHeader) -> onnx.ModelProto:
    """The ONNX model of ``model``, which stays as it is.

    Args:
        model: The network, on the CPU: a `Model`, or any classifier.
        header: What belongs to it.

    Raises:
        LookcloserError: For a network that cannot be exported.
    """
    with evaluating(model):
        size = header.preprocessing.size
        form = model.file_form() if isinstance(model, Model) else stock_form(model, size)
        network = ImageGraph(form, header).eval()
        built = image_graph(network, size)
        graphs = _decoder(form, network, size)
    parts = _parts(form)
    texts = {
        KEY: header_text(header),
        PARTS_KEY: parts_text(parts),
        **{GRAPH_KEY + name: graph_text(graph) for name, graph in graphs.items()},
        **model_info(header, parts),
    }
    _strip(built)
    onnx.helper.set_model_props(built, texts)
    built.producer_name, built.producer_version = "lookcloser", __version__
    return built


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write ``model`` to ``path`` as one file.

    Raises:
        LookcloserError: For one larger than the format allows.
    """
    size = model.ByteSize()
    if size > LARGEST_FILE:
        raise LookcloserError(
            f"{path}: {size:,} bytes, more than one ONNX file can hold",
            allowed=f"At most {LARGEST_FILE:,}",
            fix="Train with a smaller backbone",
        )
    path.write_bytes(model.SerializeToString(deterministic=True))


def _decoder(form: FileForm, network: nn.Module, size: Grid) -> dict[str, bytes]:
    if form.decoding is None:
        return {}
    with torch.no_grad():
        features = network(torch.zeros(2, 3, *size))[FEATURES]
    graphs = decoding_graphs(form.decoding, features)
    for graph in graphs.values():
        _strip(graph)
    return {name: graph.SerializeToString(deterministic=True) for name, graph in graphs.items()}


def _parts(form: FileForm) -> Parts:
    if form.decoding is None:
        return Parts(form.threshold)
    decoding = form.decoding
    return Parts(form.threshold, decoding.search, decoding.memory, decoding.longest)


def _strip(model: onnx.ModelProto) -> None:
    """Take out what the exporter notes of the code it saw: lines, and folders of this machine."""
    owners: Iterable[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    for owner in owners:
        del owner.metadata_props[:]
        owner.doc_string = ""
        for item in (*owner.node, *owner.value_info):
            del item.metadata_props[:]
            item.doc_string = ""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.metadata_props[:]
    model.doc_string = ""
