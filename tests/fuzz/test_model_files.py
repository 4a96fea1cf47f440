"""Model files from anybody, damaged or made to harm: nothing but `LookcloserError` comes out.

``LOOKCLOSER_FUZZ=10`` tries ten times as many files.
"""

from __future__ import annotations

import json
import os
import random
import resource
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.decoding import Search
from lookcloser.models import build_model, load_model_file, save_model_file
from lookcloser.runtime.onnx import load
from lookcloser.runtime.onnx_file import GRAPH_KEY, KEY, PARTS_KEY, Parts, graph_text, parts_text

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, FLOATS = onnx.helper, onnx.TensorProto.FLOAT

TIMES = int(os.environ.get("LOOKCLOSER_FUZZ", "1"))
GROWTH = 1 << 29  # what the process may grow by over the files of one test
SLOWEST = 5.0  # seconds of processor time for one file of some kilobytes
PIXELS = np.zeros((2, 3, 8, 8), np.uint8)

NASTY: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**400, 1e308, -0.0, float("nan"), float("inf")),
    *("", "x" * 5000, "\x00", "\x1b[31m", "../../etc/passwd", "<script>", "\ud800"),
    *([], {}, [[]] * 2000, {"a": {"b": {}}}, [0] * 5000, ["a", 1], "[" * 3000),
)


@contextmanager
def bounded() -> Iterator[Callable[[], None]]:
    """Neither memory nor time runs away; call the result before each file."""
    before, started = _peak(), [time.process_time()]

    def begin() -> None:
        assert time.process_time() - started[0] < SLOWEST
        started[0] = time.process_time()

    yield begin
    begin()
    assert _peak() - before < GROWTH


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one thing in it replaced, taken away or put twice."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], changed(value[at], rng), *value[at + rng.randrange(2) :]]
    return rng.choice(NASTY)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut off, changed, doubled or filled up somewhere."""
    at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    kind = rng.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]
    if kind == 2:
        return data[:at] + data[end:]
    if kind == 3:
        return data[:end] + data[at:]
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def graph(inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], *nodes: Any) -> Any:
    ends = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, *shape) in part.items()]
        for part in (inputs, outputs)
    ]
    made = helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], "g", *ends)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def classifier() -> tuple[Any, dict[str, Any]]:
    """Three classes, the channels; each channel is the map of its class."""
    image = ["b", 3, 8, 8]
    model = graph(
        {"image": [FLOATS, *image]},
        {
            "logits": [FLOATS, "b", 3],
            "scores": [FLOATS, "b", 3],
            "saliency_map": [FLOATS, *image],
        },
        ("GlobalAveragePool", ["image"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["logits"], {}),
        ("Softmax", ["logits"], ["scores"], {}),
        ("Identity", ["image"], ["saliency_map"], {}),
    )
    calibration = {"temperature": 2.0, "images": 9, "lac": [], "aps": [], "evidence": 0.1}
    header = ModelHeader("cam", {}, "classification", ("a", "b", "c"), Preprocessing((8, 8)))
    values = json.loads(header_text(header))
    values["calibration"] = {**calibration, "distance": None}
    return model, {KEY: values, PARTS_KEY: json.loads(parts_text(Parts()))}


def captioner() -> tuple[Any, dict[str, Any]]:
    """Four words, of which the second ends: a step whose scores are its state."""
    whole = onnx.TensorProto.INT64
    model = graph(
        {"image": [FLOATS, "b", 3, 8, 8]},
        {
            "logits": [FLOATS, "b", 3],
            "scores": [FLOATS, "b", 3],
            "features": [FLOATS, "b", 3, 8, 8],
        },
        ("GlobalAveragePool", ["image"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["logits"], {}),
        ("Softmax", ["logits"], ["scores"], {}),
        ("Identity", ["image"], ["features"], {}),
    )
    start = graph(
        {"features": [FLOATS, "b", 3, 8, 8]},
        {"state_0": [FLOATS, "b", 3]},
        ("GlobalAveragePool", ["features"], ["pooled"], {}),
        ("Flatten", ["pooled"], ["state_0"], {}),
    )
    step = graph(
        {"tokens": [whole, "n"], "state_0": [FLOATS, "n", 3]},
        {"log_probs": [FLOATS, "n", 3], "next_state_0": [FLOATS, "n", 3]},
        ("LogSoftmax", ["state_0"], ["log_probs"], {}),
        ("Cast", ["tokens"], ["named"], {"to": FLOATS}),
        ("Unsqueeze", ["named", "axes"], ["wide"], {}),
        ("Sub", ["state_0", "wide"], ["next_state_0"], {}),
    )
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    step.graph.initializer.append(axes)
    evidence = graph(
        {"features": [FLOATS, "b", 3, 8, 8], "tokens": [whole, "b", 3]},
        {"maps": [FLOATS, "b", 3, 8, 8]},
        ("Identity", ["features"], ["maps"], {}),
    )
    header = ModelHeader("lstm", {}, "captioning", ("a", "b", "c"), Preprocessing((8, 8)))
    parts = Parts(search=Search("beam", 0, 1, 3, beam=2), longest=3)
    texts = {KEY: json.loads(header_text(header)), PARTS_KEY: json.loads(parts_text(parts))}
    graphs = {"start": start, "step": step, "evidence": evidence}
    encoded = {GRAPH_KEY + name: graph_text(m.SerializeToString()) for name, m in graphs.items()}
    return model, {**texts, **encoded}


def written(model: Any, texts: dict[str, Any]) -> bytes:
    values = {
        key: text if key.startswith(GRAPH_KEY) else json.dumps(text) for key, text in texts.items()
    }
    helper.set_model_props(model, values)
    return bytes(model.SerializeToString())


def check_said(error: LookcloserError) -> None:
    """One line that can be printed."""
    assert "\n" not in str(error)
    str(error).encode()


def answer(path: Path) -> bool:
    """Whether a file can be loaded and asked; whatever else it is, is one clear sentence."""
    try:
        (found, _) = load(path, threads=1).predict([PIXELS[0].transpose(1, 2, 0)] * 2)
    except LookcloserError as error:
        check_said(error)
        return False
    json.dumps(found.to_dict())
    return True


MAKERS = {"classifier": classifier, "captioner": captioner}


@pytest.mark.parametrize("kind", MAKERS)
def test_exported_files_as_they_are_made_here_answer(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(written(*MAKERS[kind]()))
    assert answer(path)


@pytest.mark.parametrize("kind", MAKERS)
def test_headers_of_exported_files(kind: str, tmp_path: Path) -> None:
    model, texts = MAKERS[kind]()
    path = tmp_path / "a.onnx"
    answered = 0
    with bounded() as begin:
        for number in range(250 * TIMES):
            rng = random.Random(f"{kind} {number}")
            key = rng.choice([KEY, PARTS_KEY])
            value = texts[key]
            for _ in range(rng.randrange(1, 3)):
                value = changed(value, rng)
            path.write_bytes(written(model, {**texts, key: value}))
            begin()
            answered += answer(path)
    assert 0 < answered < 250 * TIMES


@pytest.mark.parametrize("kind", MAKERS)
def test_bytes_of_exported_files(kind: str, tmp_path: Path) -> None:
    data = written(*MAKERS[kind]())
    path = tmp_path / "a.onnx"
    answered = 0
    with bounded() as begin:
        for number in range(250 * TIMES):
            path.write_bytes(damaged(data, random.Random(number)))
            begin()
            answered += answer(path)
    assert answered < 250 * TIMES, "damage is noticed"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A trained model's file, small."""
    torch.manual_seed(0)
    arguments = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}
    header = ModelHeader("cam", arguments, "classification", ("a", "b", "c"), Preprocessing((8, 8)))
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_model_file(path, build_model("cam", arguments).state_dict(), header)
    return path.read_bytes()


def opened(path: Path) -> bool:
    try:
        load_model_file(path)
    except LookcloserError as error:
        check_said(error)
        return False
    return True


def test_headers_of_model_files(saved: bytes, tmp_path: Path) -> None:
    (length,) = struct.unpack("<Q", saved[:8])
    outer, weights = json.loads(saved[8 : 8 + length]), saved[8 + length :]
    inner = json.loads(outer["__metadata__"][KEY])
    path = tmp_path / "a.safetensors"
    assert opened_as(path, outer, weights)
    read = 0
    with bounded() as begin:
        for number in range(60 * TIMES):
            rng = random.Random(number)
            value = dict(outer)
            if number % 3:
                value["__metadata__"] = {KEY: json.dumps(changed(inner, rng))}
            else:
                value = changed(outer, rng)
            begin()
            read += opened_as(path, value, weights)
    assert read < 60 * TIMES


def opened_as(path: Path, outer: Any, weights: bytes) -> bool:
    text = json.dumps(outer).encode(errors="backslashreplace")
    path.write_bytes(struct.pack("<Q", len(text)) + text + weights)
    return opened(path)


def test_bytes_of_model_files(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    lengths = [struct.pack("<Q", size) for size in (0, 1, 2**30, 2**40, 2**64 - 1)]
    read = []
    with bounded() as begin:
        for number in range(60 * TIMES):
            rng = random.Random(number)
            data = damaged(saved, rng)
            if number < len(lengths):  # a header that names a gigabyte
                data = lengths[number] + saved[8:]
            path.write_bytes(data)
            begin()
            read.append(opened(path))
    assert not any(read[: len(lengths)])
    assert not all(read[len(lengths) :]), "damage is noticed"
