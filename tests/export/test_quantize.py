"""8 bits: smaller, still the same answers, and what they cost is measured."""

from __future__ import annotations

import logging

import numpy as np
import onnx
import pytest

from lookcloser.export import Measured, quantized, save, side_by_side
from lookcloser.export.quantize import _BATCH, _head, _quiet, _Reader
from lookcloser.runtime.onnx import load

from .conftest import SIZE, drawn_pixels


@pytest.fixture(scope="module")
def files(exported, tmp_path_factory):
    plain = exported("cam").path
    small = tmp_path_factory.mktemp("int8") / "cam.onnx"
    save(quantized(onnx.load(plain), drawn_pixels(16)), small)
    return load(plain, threads=1).engine, load(small, threads=1).engine


def test_it_is_smaller_and_says_the_same_of_itself(files):
    plain, small = files
    assert len(small.file.model) < 0.6 * len(plain.file.model)
    assert small.header == plain.header
    assert small.file.parts == plain.file.parts


def test_convolutions_are_quantized_per_channel_and_evidence_is_not(files):
    model = onnx.load_from_string(files[1].file.model)
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert all(made.get(node.input[0]) == "DequantizeLinear" for node in convolutions[1:])
    maps = next(node for node in model.graph.node if "saliency_map" in node.output)
    assert maps.op_type == "Einsum"
    scales = {item.name: item.dims for item in model.graph.initializer}
    weights = [
        node
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and scales.get(node.input[1], [])
    ]
    assert weights, "a scale for each channel"


def test_the_comparison_has_every_row(files):
    plain, small = files
    pixels = drawn_pixels(12)
    labels = plain.answer(pixels, 1).tokens[:, 0]  # so that float32 is always right
    boxes = [[(0.0, 0.0, SIZE, SIZE)]] * 12
    given = Measured(pixels, labels, boxes, [(SIZE, SIZE)] * 12)
    rows = {row.name: row for row in side_by_side(plain, small, given)}
    assert list(rows) == [
        "top-1",
        "same answer",
        "map rank correlation",
        "MaxBoxAcc@0.5",
        "megabytes",
        "ms an image",
    ]
    assert rows["top-1"].before == 1.0
    assert rows["top-1"].after == rows["same answer"].after >= 0.75
    assert rows["map rank correlation"].after > 0.9
    assert rows["megabytes"].after < rows["megabytes"].before
    assert all(len(row.texts()) == 3 for row in rows.values())


def test_a_file_beside_itself_is_the_same(files):
    rows = {row.name: row for row in side_by_side(files[0], files[0], Measured(drawn_pixels(4)))}
    assert rows["same answer"].after == 1.0
    assert rows["map rank correlation"].after == pytest.approx(1.0)
    assert "top-1" not in rows
    assert np.isfinite(rows["ms an image"].after)


def test_quantizing_keeps_what_belongs_to_the_network_and_its_names(exported, files):
    plain, small = (onnx.load(exported("cam").path), onnx.load_from_string(files[1].file.model))
    for model in (plain, small):
        onnx.checker.check_model(model)
    told = [sorted((entry.key, entry.value) for entry in m.metadata_props) for m in (plain, small)]
    assert told[0] == told[1]
    for part in ("input", "output"):
        named = [[item.name for item in getattr(m.graph, part)] for m in (plain, small)]
        assert named[0] == named[1]
    assert (small.producer_name, small.producer_version) == (
        plain.producer_name,
        plain.producer_version,
    )


def test_what_lies_before_and_behind_the_layers_stays_in_float32():
    names = ["shift", "conv", "bias", "act", "sum", "pool", "maps"]
    kinds = ["Sub", "Conv", "Add", "Relu", "Add", "GlobalAveragePool", "Einsum"]
    nodes = [
        onnx.helper.make_node(kind, [f"{name} in", "weight"][: 1 + (kind == "Conv")], [name], name)
        for name, kind in zip(names, kinds, strict=True)
    ]
    weight = onnx.numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "weight")
    graph = onnx.helper.make_graph(nodes, "g", [], [], [weight])
    assert _head(onnx.helper.make_model(graph)) == ["shift", "pool", "maps"]
    del graph.initializer[:]  # products of two activations are no layer
    assert _head(onnx.helper.make_model(graph)) == names


def test_calibration_sees_every_image_once_as_the_network_does():
    pixels = drawn_pixels(_BATCH + 3)
    reader, seen = _Reader(pixels), []
    while (batch := reader.get_next()) is not None:
        assert list(batch) == ["image"]
        seen.append(batch["image"])
    assert [len(batch) for batch in seen] == [_BATCH, 3]
    np.testing.assert_array_equal(np.concatenate(seen), pixels)
    assert seen[0].dtype == np.float32
    assert reader.get_next() is None


def test_the_advice_of_the_quantizer_is_not_heard_and_later_messages_are(caplog):
    root = logging.getLogger()
    with caplog.at_level(logging.INFO):
        with _quiet():
            logging.warning("Please consider pre-processing before quantization.")
        with pytest.raises(ZeroDivisionError), _quiet():
            raise ZeroDivisionError
        logging.warning("heard")
        assert root.level == logging.INFO
    assert [record.message for record in caplog.records] == ["heard"]
