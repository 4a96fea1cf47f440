"""Files from anybody: each fault is one clear sentence, and nothing is run or allocated for it."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.decoding import Search
from lookcloser.runtime.onnx import load
from lookcloser.runtime.onnx_file import (
    GRAPH_KEY,
    GRAPHS,
    KEY,
    PARTS_KEY,
    Parts,
    graph_text,
    is_onnx,
    network_alone,
    parts_text,
    read_onnx,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT

HEADER = ModelHeader("cam", {}, "classification", ("a", "b"), Preprocessing((8, 8)))


def network(classes: int = 2, size: int = 8, more=None):
    """Logits and scores: the mean of the image, times a weight for each class.

    And the outputs in ``more``, a name with its shape, of ones.
    """
    weight = onnx.numpy_helper.from_array(np.ones((3, classes), np.float32), "weight")
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"]),
            *(
                helper.make_node(
                    "ConstantOfShape",
                    [f"shape of {name}"],
                    [name],
                    value=onnx.numpy_helper.from_array(np.ones(1, np.float32)),
                )
                for name in more or {}
            ),
        ],
        "network",
        [helper.make_tensor_value_info("image", FLOAT, ["batch", 3, size, size])],
        [
            helper.make_tensor_value_info(name, FLOAT, ["batch", classes])
            for name in ("logits", "scores")
        ]
        + [
            helper.make_tensor_value_info(name, FLOAT, shape)
            for name, shape in (more or {}).items()
        ],
        [weight]
        + [
            onnx.numpy_helper.from_array(np.array(shape, np.int64), f"shape of {name}")
            for name, shape in (more or {}).items()
        ],
    )
    opset = helper.make_opsetid("", 20)
    return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def write(path, model=None, header=HEADER, **texts):
    model = model or network()
    given = {KEY: header_text(header), PARTS_KEY: parts_text(Parts()), **texts}
    helper.set_model_props(model, {key: text for key, text in given.items() if text is not None})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "birds.onnx")


def refused(path, match):
    with pytest.raises(LookcloserError, match=match) as caught:
        load(path, threads=1)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_good_file_answers(file):
    recognizer = load(file, threads=1)
    assert recognizer.names == ("a", "b")
    assert "OnnxRecognizer(cam, 2 classes" in repr(recognizer)
    (found,) = recognizer.predict(np.zeros((5, 6, 3), np.uint8))
    assert [label.score for label in found.labels] == [0.5, 0.5]
    assert found.size == (6, 5)


def test_what_was_written_is_read(tmp_path):
    search = Search("exact", 3, 2, 4, repeats=False, node_budget=9, scored_paths=5)
    graphs = {GRAPH_KEY + name: graph_text(name.encode()) for name in GRAPHS}
    parts = Parts(0.25, search, memory=1, longest=4)
    found = read_onnx(write(tmp_path / "a.onnx", **{PARTS_KEY: parts_text(parts)}, **graphs))
    assert found.parts == parts
    assert found.header == HEADER
    assert found.graphs == {name: name.encode() for name in GRAPHS}


def test_nothing_said_of_the_answer_is_the_plainest_one(tmp_path):
    found = read_onnx(write(tmp_path / "a.onnx", **{PARTS_KEY: "{}"}))
    assert found.parts == Parts()
    assert (found.parts.memory, found.parts.longest) == (0, 0)


@pytest.mark.parametrize(
    ("name", "least", "most", "just_beyond"),
    [("memory", 0, 8, 9), ("longest", 0, 10_000, 10_001), ("threshold", 0, 1, 1.001)],
)
def test_what_is_said_of_the_answer_has_bounds(tmp_path, name, least, most, just_beyond):
    def written(value):
        return write(tmp_path / "a.onnx", **{PARTS_KEY: json.dumps({name: value})})

    for value in (least, most):
        assert getattr(read_onnx(written(value)).parts, name) == value
    refused(written(just_beyond), "header is damaged")
    refused(written(least - 1), "header is damaged")


@pytest.mark.parametrize(
    ("name", "least", "most", "just_beyond"),
    [
        ("temperature", 1e-6, 1e6, 1e6 + 0.5),
        ("longest", 1, 10_000, 10_001),
        ("beam", 1, 1000, 1001),
        ("node_budget", 1, 10**6, 10**6 + 1),
        ("scored_paths", 1, 10**6, 0),
    ],
)
def test_the_work_of_a_search_has_bounds(tmp_path, name, least, most, just_beyond):
    def written(value):
        search = vars(Search("beam", 0, 1, 4)) | {name: value}
        graphs = {GRAPH_KEY + name: graph_text(b"") for name in GRAPHS}
        text = json.dumps(vars(Parts()) | {"search": search})
        return write(tmp_path / "a.onnx", **{PARTS_KEY: text}, **graphs)

    for value in (least, most):
        assert getattr(read_onnx(written(value)).parts.search, name) == value
    refused(written(just_beyond), "header is damaged")


@pytest.mark.parametrize(
    ("name", "shape", "others"),
    [
        ("saliency_map", (1, 2, 4, 4), [(1, 3, 4, 4), (1, 2, 4), (2, 2, 4, 4)]),
        ("part_maps", (1, 3, 4, 4), [(1, 3, 4), (2, 3, 4, 4), (1, 3, 0, 4)]),
        ("boxes", (1, 2, 5), [(1, 2, 4), (1, 5), (2, 2, 5)]),
        ("distances", (1,), [(1, 1), (2,)]),
    ],
)
def test_outputs_of_other_shapes_are_refused(tmp_path, name, shape, others):
    def answered(shape):
        file = write(tmp_path / "a.onnx", network(more={name: shape}))
        return load(file, threads=1).engine.answer(np.zeros((1, 3, 8, 8), np.uint8), 2)

    assert answered(shape).logits.shape == (1, 2)
    for other in others:
        with pytest.raises(LookcloserError, match="a.onnx"):
            answered(other)


@pytest.mark.parametrize(
    ("path", "meant"), [("a.onnx", True), ("A.ONNX", True), ("a.onnx.txt", False), ("onnx", False)]
)
def test_a_file_is_meant_by_its_ending(path, meant):
    assert is_onnx(path) is meant


def test_the_network_alone_says_nothing_of_where_it_comes_from(tmp_path):
    path = write(tmp_path / "a.onnx", header=replace(HEADER, provenance={"data": "/home/me"}))
    file = read_onnx(path)
    alone = network_alone(file)
    assert b"/home/me" in file.model
    assert b"/home/me" not in alone
    model = onnx.load_from_string(alone)
    assert not model.metadata_props
    model.metadata_props.extend(onnx.load_from_string(file.model).metadata_props)
    assert model == onnx.load_from_string(file.model), "all else is there"


def test_names_that_are_no_files(tmp_path):
    refused(tmp_path, "not a file. Give an exported .onnx file")
    with pytest.raises(LookcloserError, match="no such model file"):
        load("a" * 300 + ".onnx")
    with pytest.raises(LookcloserError, match="no such model file"):
        load("~nobody-here.onnx")


def test_a_file_larger_than_the_format_allows_is_not_read(tmp_path):
    with (tmp_path / "a.onnx").open("wb") as file:
        file.truncate(2**31)  # a hole: it takes no space
    refused(tmp_path / "a.onnx", "a file of 2,147,483,648 bytes. Allowed: at most 2,147,483,647")


@pytest.mark.parametrize("name", ["logits", "scores", "features"])
def test_outputs_that_an_answer_needs_have_to_be_there(tmp_path, name):
    parts = Parts(search=Search("beam", 3, 2, 4), longest=4) if name == "features" else Parts()
    graphs = {GRAPH_KEY + key: graph_text(network().SerializeToString()) for key in GRAPHS}
    model = network()
    kept = [output for output in model.graph.output if output.name != name]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    path = write(tmp_path / "a.onnx", model, **{PARTS_KEY: parts_text(parts)}, **graphs)
    refused(path, "does not fit its header")


def test_an_answer_names_as_many_classes_as_asked_and_ties_in_their_order(file):
    engine = load(file, threads=1).engine
    for top in (1, 2, 9):
        answer = engine.answer(np.zeros((3, 3, 8, 8), np.uint8), top)
        assert answer.tokens.tolist() == [[0, 1][:top]] * 3
        assert answer.maps is None


def test_every_truncation_is_refused(file):
    data = file.read_bytes()
    for length in [*range(0, 60), *range(60, len(data), 37), len(data) - 1]:
        file.write_bytes(data[:length])
        refused(file, "not an ONNX file|cut off|did not write|header is damaged|refuses it")


def test_a_changed_byte_never_ends_in_another_error(file):
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    pixels = np.zeros((1, 3, 8, 8), np.uint8)
    answered = 0
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        file.write_bytes(changed)
        try:
            load(file, threads=1).engine.answer(pixels, 2)
        except LookcloserError:
            continue
        answered += 1
    assert 0 < answered < 300, "some bytes matter, and some do not"


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"text", bytes(1000), b"\xff" * 99]
)
def test_another_file_under_the_name_is_refused(file, content):
    file.write_bytes(content)
    refused(file, "not an ONNX file")


def test_a_safetensors_file_renamed_is_refused(file):
    from safetensors.numpy import save

    file.write_bytes(save({"weight": np.zeros(9)}))
    refused(file, "not an ONNX file")


def test_a_foreign_onnx_file_is_refused(tmp_path):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(network().SerializeToString())
    refused(path, "lookcloser did not write.*lookcloser export")


def test_a_file_larger_than_the_format_allows_is_refused_unread(tmp_path):
    path = tmp_path / "large.onnx"
    path.touch()
    os.truncate(path, 2**31)  # a hole, which takes no space
    refused(path, "2,147,483,648 bytes")


def test_a_missing_file_and_a_folder_are_refused(file, tmp_path):
    with pytest.raises(LookcloserError, match=r"birds\.onnx"):
        load(tmp_path / "bird.onnx")
    refused(tmp_path, "not a file")


def test_a_field_that_names_a_gigabyte_is_refused(file):
    length = bytes([0x80, 0x80, 0x80, 0x80, 0x04])  # 1 GiB, as a varint
    file.write_bytes(b"\x3a" + length + bytes(100))
    refused(file, "cut off")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"preprocessing": {"size": [10**6, 10**6]}}, "damaged"),
        ({"preprocessing": {"size": [8192, 8192]}}, "8192 × 8192|damaged"),
        ({"preprocessing": {"size": [64, 64]}}, "64 × 64"),
        ({"names": ["a"] * 300_000}, "names 300,000 classes"),
        ({"names": 10**9}, "damaged"),
        ({"format": 99}, "format 99"),
        ({"task": "dreaming"}, "damaged"),
    ],
)
def test_a_header_that_names_what_is_not_there_is_refused(tmp_path, change, match):
    values = json.loads(header_text(HEADER))
    for key, value in change.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    refused(write(tmp_path / "a.onnx", **{KEY: json.dumps(values)}), match)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "[" * 100_000])
@pytest.mark.parametrize("key", [KEY, PARTS_KEY])
def test_a_header_that_is_none_is_refused(tmp_path, key, text):
    refused(write(tmp_path / "a.onnx", **{key: text}), "header is damaged")


@pytest.mark.parametrize(
    "parts",
    [
        {"search": {"decoder": "beam"}},
        {"search": {"decoder": "eval", "start": 1, "end": 2, "longest": 3}},
        {"search": {"decoder": "beam", "start": 1, "end": 2, "longest": 0}},
        {"memory": -1},
        {"longest": 10**12},
        {"threshold": "high"},
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, parts):
    refused(write(tmp_path / "a.onnx", **{PARTS_KEY: json.dumps(parts)}), "header is damaged")


@pytest.mark.parametrize("graph", [None, "not base64!", base64.b64encode(b"no graph").decode()])
def test_a_decoder_without_its_graphs_is_refused(tmp_path, graph):
    parts = parts_text(Parts(search=Search("beam", 3, 2, 4), longest=4))
    graphs = {GRAPH_KEY + name: graph for name in GRAPHS}
    path = write(tmp_path / "a.onnx", **{PARTS_KEY: parts}, **graphs)
    refused(path, "damaged|refuses|does not fit")


def test_weights_in_another_file_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(np.ones(6, np.float32).tobytes())
    model = network()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    refused(write(tmp_path / "a.onnx", model), "another file")


def test_a_network_of_another_size_than_its_header_is_refused(tmp_path):
    refused(write(tmp_path / "a.onnx", network(classes=3)), "does not fit its header")
    refused(write(tmp_path / "b.onnx", network(size=9)), "does not fit its header")


def test_an_operation_nobody_knows_is_refused(tmp_path):
    model = network()
    model.graph.node[0].op_type = "Surprise"
    refused(write(tmp_path / "a.onnx", model), "ONNX Runtime refuses it")


def test_a_network_that_fails_while_it_runs_is_an_error_of_ours(tmp_path):
    model = network()
    far = onnx.numpy_helper.from_array(np.array([10**6], np.int64), "far")
    model.graph.initializer.append(far)
    model.graph.node.append(
        helper.make_node("Cast", ["flat"], ["whole"], to=onnx.TensorProto.INT64)
    )
    model.graph.node.append(helper.make_node("Add", ["whole", "far"], ["places"]))
    model.graph.node.append(helper.make_node("Gather", ["flat", "places"], ["found"]))
    model.graph.output.append(helper.make_tensor_value_info("found", FLOAT, None))
    path = write(tmp_path / "a.onnx", model)
    recognizer = load(path, threads=1)
    with pytest.raises(LookcloserError, match="cannot be run"):
        recognizer.predict(np.zeros((8, 8, 3), np.uint8))
