"""What is written beside the network, and files that are too large or not to be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import parse_header
from lookcloser.export import build_onnx, save
from lookcloser.export import onnx as writing
from lookcloser.export.stock import WithoutMaps, stock_form
from lookcloser.runtime.onnx_file import GRAPH_KEY, GRAPHS, KEY, PARTS_KEY, read_onnx
from lookcloser.version import __version__

from .conftest import Exported, drawn_pixels, make_engine

Exports = Callable[[str], Exported]


@pytest.mark.parametrize("case", ["cam", "sigmoid", "cnnrnn"])
def test_a_file_says_how_its_answer_is_made(exported: Exports, case: str) -> None:
    made = exported(case)
    model = onnx.load(made.path)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    assert parse_header("a", texts[KEY]) == made.engine.header
    parts = json.loads(texts[PARTS_KEY])
    assert parts["threshold"] == (0.6 if case == "sigmoid" else None)
    decoders = {GRAPH_KEY + name for name in GRAPHS} if case == "cnnrnn" else set()
    assert {key for key in texts if key.startswith(GRAPH_KEY)} == decoders
    assert (parts["search"] is not None) == (case == "cnnrnn")
    assert (model.producer_name, model.producer_version) == ("lookcloser", __version__)
    if case == "cnnrnn":
        assert parts["longest"] == parts["search"]["longest"] == 2
        for name in GRAPHS:
            onnx.checker.check_model(onnx.load_from_string(read_onnx(made.path).graphs[name]))


def test_building_leaves_the_mode_of_each_module() -> None:
    model = make_engine("cam").model.train()
    frozen = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    frozen.eval()
    before = [module.training for module in model.modules()]
    build_onnx(model, make_engine("cam").header)
    assert [module.training for module in model.modules()] == before


def test_the_same_model_is_the_same_bytes_whatever_the_order_of_its_metadata(
    exported: Exports, tmp_path: Path
) -> None:
    model = onnx.load(exported("cam").path)
    save(model, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == exported("cam").path.read_bytes()


def test_a_file_larger_than_the_format_allows_is_not_written(
    exported: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(exported("cam").path)
    monkeypatch.setattr(writing, "LARGEST_FILE", model.ByteSize() - 1)
    with pytest.raises(LookcloserError, match=r"more than one ONNX file can hold.*smaller") as said:
        save(model, tmp_path / "a.onnx")
    assert f"{model.ByteSize():,} bytes" in str(said.value)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(writing, "LARGEST_FILE", model.ByteSize())
    save(model, tmp_path / "a.onnx")


def test_nothing_the_exporter_notes_of_this_machine_stays() -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1], "/home/me/x.py")
    node = onnx.helper.make_node("Relu", ["x"], ["y"], doc_string="File /home/me/x.py")
    graph = onnx.helper.make_graph([node], "g", [value], [value], doc_string="/home/me")
    graph.initializer.append(onnx.numpy_helper.from_array(np.ones(1, np.float32), "x"))
    graph.value_info.append(value)
    model = onnx.helper.make_model(graph, doc_string="/home/me")
    opset = onnx.helper.make_opsetid("", 20)
    model.functions.append(
        onnx.helper.make_function("d", "f", ["x"], ["y"], [node], [opset], doc_string="/home/me")
    )
    places = (model, graph, model.graph, node, *model.graph.node, *model.functions)
    for place in (*places, *model.graph.input, *model.graph.output, *model.graph.initializer):
        place.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/me/x.py")
    for function in model.functions:
        function.node[0].metadata_props.add(key="trace", value="/home/me/x.py")
    writing._strip(model)
    assert b"/home/me" not in model.SerializeToString()
    assert [item.op_type for item in model.graph.node] == ["Relu"]
    onnx.checker.check_model(model)


class Pooled(nn.Module):
    """The plainest classifier with class maps: features changed in place, pooled, weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer(images).relu_().mean(dim=(2, 3)))


def test_maps_of_a_stock_classifier_average_to_its_logits() -> None:
    torch.manual_seed(0)
    model = Pooled().eval()
    form = stock_form(model, (8, 8))
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        output = form.image(images)
        assert output.maps is not None
        torch.testing.assert_close(output.logits, model(images))
        means = output.maps.mean(dim=(2, 3)) + model.fc.bias
        torch.testing.assert_close(means, output.logits, rtol=1e-4, atol=1e-5)
    assert form.threshold is form.decoding is None
    assert not any(module._forward_hooks for module in model.modules())


def test_a_classifier_without_pooled_features_answers_without_maps() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).eval()
    images = torch.randn(2, 3, 4, 4)
    output = stock_form(model, (4, 4)).image(images)
    assert (output.maps, output.vector) == (None, None)
    torch.testing.assert_close(output.logits, model(images))


def test_an_engine_without_maps_is_the_same_in_all_else() -> None:
    engine, pixels = make_engine("cam"), drawn_pixels(2)
    plain = WithoutMaps(engine)
    assert plain.header is engine.header
    assert plain.fingerprint() == engine.fingerprint()
    tokens = np.array([[1, 0], [2, -1]])
    for found, whole in (
        (plain.answer(pixels, 2), engine.answer(pixels, 2)),
        (plain.evidence(pixels, tokens), engine.evidence(pixels, tokens)),
    ):
        assert found.maps is None
        assert whole.maps is not None
        np.testing.assert_array_equal(found.logits, whole.logits)
        np.testing.assert_array_equal(found.tokens, whole.tokens)
