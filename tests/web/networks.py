"""Small networks as exported files, written by hand: exporting one takes seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from lookcloser.core.calibration import COVERAGES, Calibration
from lookcloser.core.choices import Task
from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.core.types import Kind
from lookcloser.decoding import Search
from lookcloser.runtime.onnx_file import GRAPH_KEY, KEY, PARTS_KEY, Parts, graph_text, parts_text

from .conftest import EVIL

NAMES = (EVIL, *(f"class {index}" for index in range(1, 9)))
PLACES, WORDS = len(NAMES), len(NAMES) + 2
END, START = PLACES, PLACES + 1

TASKS: dict[str, tuple[Task, Kind]] = {
    "racnn": ("classification", "map"),
    "sigmoid": ("multilabel", "step"),
    "lstm": ("captioning", "word"),
}

_HEAD = '<ir_version: 9, opset_import: ["" : 18]>\n'

# Maps, their mean as logits, two boxes that depend on them, and for decoders the same features.
_IMAGE = """net (float[batch,3,48,48] image) => (float[batch,9] logits, float[batch,9] scores,
    float[batch,9,6,6] saliency_map, float[batch,2,5] boxes, float[batch,9,6,6] features) {
  scaled = Div(image, white)
  saliency_map = Conv <strides = [8, 8]> (scaled, kernel)
  features = Identity(saliency_map)
  pooled = GlobalAveragePool(saliency_map)
  logits = Flatten(pooled)
  scores = Softmax <axis = 1> (logits)
  flat = MatMul(logits, mixing)
  bent = Tanh(flat)
  some = Reshape(bent, shape)
  boxes = Add(some, base)
}"""
_START = """start (float[batch,9,6,6] features) => (float[batch,9] state_0) {
  pooled = GlobalAveragePool(features)
  state_0 = Flatten(pooled)
}"""
_STEP = """step (int64[rows] tokens, float[rows,9] state_0)
    => (float[rows,11] log_probs, float[rows,9] next_state_0) {
  word = Gather(embedding, tokens)
  sum = Add(word, state_0)
  next_state_0 = Tanh(sum)
  logits = MatMul(next_state_0, output)
  log_probs = LogSoftmax <axis = 1> (logits)
}"""
_EVIDENCE = """evidence (float[batch,9,6,6] features, int64[batch,4] tokens)
    => (float[batch,4,6,6] maps) {
  there = Max(tokens, zero)
  word = Gather(embedding, there)
  flat = Reshape(features, columns)
  products = MatMul(word, flat)
  maps = Reshape(products, grid)
}"""


def _model(text: str, **values: np.ndarray) -> onnx.ModelProto:
    model = parser.parse_model(_HEAD + text)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in values.items()
    )
    onnx.checker.check_model(model)
    return model


def write_network(path: Path, method: str = "racnn") -> Path:
    """A classifier with maps and two closer looks, a tagger or a captioner, at ``path``."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int, scale: float = 1.0) -> np.ndarray:
        return rng.normal(0, scale, shape).astype(np.float32)

    image = _model(
        _IMAGE,
        white=np.float32(255),
        kernel=drawn(PLACES, 3, 8, 8, scale=0.2),
        mixing=drawn(PLACES, 10, scale=0.2),
        shape=np.array([0, 2, 5]),
        base=np.array([[-0.9, -0.8, 0.3, 0.6, 0.1], [-0.4, -0.2, 0.8, 0.9, 0.1]], np.float32),
    )
    task, kind = TASKS[method]
    header = ModelHeader(method, {}, task, NAMES, Preprocessing((48, 48)), evidence_kind=kind)
    if task == "classification":
        quantiles = tuple(np.linspace(0.5, 0.95, len(COVERAGES)).tolist())
        header = replace(header, calibration=Calibration(images=100, lac=quantiles, aps=quantiles))
    parts = Parts(threshold=0.5) if method == "sigmoid" else Parts()
    texts = {KEY: header_text(header), PARTS_KEY: parts_text(parts)}
    if method == "lstm":
        search = Search("beam", START, END, 4, beam=3)
        texts[PARTS_KEY] = parts_text(Parts(search=search, memory=0, longest=4))
        embedding = drawn(WORDS, PLACES)
        output = drawn(PLACES, WORDS)
        output[:, START] = 0
        graphs = {
            "start": _model(_START),
            "step": _model(_STEP, embedding=embedding, output=output),
            "evidence": _model(
                _EVIDENCE,
                embedding=embedding,
                zero=np.array(0),
                columns=np.array([0, 9, 36]),
                grid=np.array([0, 4, 6, 6]),
            ),
        }
        texts |= {
            GRAPH_KEY + name: graph_text(graph.SerializeToString())
            for name, graph in graphs.items()
        }
    onnx.helper.set_model_props(image, texts)
    path.write_bytes(image.SerializeToString())
    return path
