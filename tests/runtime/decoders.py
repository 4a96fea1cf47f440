"""Files of a small decoder, written by hand: dark images say "cat", bright ones "dog owl"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.helper
import onnx.parser

from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.decoding import Search
from lookcloser.runtime.onnx_file import (
    GRAPH_KEY,
    KEY,
    PARTS_KEY,
    Parts,
    graph_text,
    parts_text,
)

NAMES = ("cat", "dog", "owl")
END, START, LONGEST = 3, 4, 3
TAGS = ModelHeader("cnnrnn", {}, "multilabel", NAMES, Preprocessing((8, 8)), evidence_kind="step")
WORDS = ModelHeader("lstm", {}, "captioning", NAMES, Preprocessing((8, 8)), evidence_kind="word")

# Rows: the token before; columns: the probability of the next, END last.
DARK = np.array(
    [[0.02, 0.04, 0.04, 0.9], *[[0.1, 0.1, 0.1, 0.7]] * 3, [0.8, 0.1, 0.05, 0.05]], np.float32
)
BRIGHT = np.array(
    [
        [0.1, 0.1, 0.1, 0.7],
        [0.05, 0.05, 0.6, 0.3],
        [0.05, 0.03, 0.02, 0.9],
        [0.1, 0.1, 0.1, 0.7],
        [0.2, 0.7, 0.05, 0.05],
    ],
    np.float32,
)
TEXTS = {
    "network": """
network (float[batch,3,8,8] image)
    => (float[batch,3] logits, float[batch,3] scores, float[batch,3,2,2] features) {
  features = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (image)
  pooled = GlobalAveragePool(features)
  logits = Flatten(pooled)
  scores = Softmax(logits)
}""",
    "start": """
start (float[batch,3,2,2] features) => (float[batch,3] state_0) {
  pooled = GlobalAveragePool(features)
  state_0 = Flatten(pooled)
}""",
    "step": """
step (int64[rows] tokens, float[rows,3] state_0)
    => (float[rows,4] log_probs, float[rows,3] next_state_0)
<float[1] middle = {127}, int64[1] first = {0}> {
  red = Gather <axis = 1> (state_0, first)
  is_bright = Greater(red, middle)
  of_bright = Gather(bright, tokens)
  of_dark = Gather(dark, tokens)
  log_probs = Where(is_bright, of_bright, of_dark)
  next_state_0 = Identity(state_0)
}""",
    "evidence": """
evidence (float[batch,3,2,2] features, int64[batch,places] tokens)
    => (float[batch,places,2,2] maps)
<int64[2] axes = {2, 3}, float one = {1}, int64[1] first = {0}> {
  numbers = Cast <to = 1> (tokens)
  counted = Add(numbers, one)
  weights = Unsqueeze(counted, axes)
  red = Gather <axis = 1> (features, first)
  maps = Mul(weights, red)
}""",
}


def parsed(text: str) -> onnx.ModelProto:
    """A model from onnx's own text form, with the tables "dark" and "bright"."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]>{text}')
    for name, table in (("dark", DARK), ("bright", BRIGHT)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.log(table), name))
    return model


def write_decoder(
    path: Path,
    search: Search,
    header: ModelHeader = TAGS,
    *,
    memory: int = 0,
    longest: int = LONGEST,
    **changed: str,
) -> Path:
    """A file that answers by ``search``, with other texts of its graphs where some are given."""
    texts = {**TEXTS, **changed}
    graphs = {
        GRAPH_KEY + name: graph_text(parsed(text).SerializeToString())
        for name, text in texts.items()
        if name != "network"
    }
    model = parsed(texts["network"])
    parts = parts_text(Parts(search=search, memory=memory, longest=longest))
    onnx.helper.set_model_props(model, {KEY: header_text(header), PARTS_KEY: parts, **graphs})
    path.write_bytes(model.SerializeToString())
    return path
