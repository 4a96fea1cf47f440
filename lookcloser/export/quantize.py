"""Whole-number arithmetic for the network in a file: static, per channel, as QDQ nodes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from lookcloser.export.graphs import INPUT

CALIBRATION_IMAGES = 128
_BATCH = 16

# Layers and what lies between them. Classifiers (Gemm), maps (Einsum) and normalizations stay in
# float32: they cost nothing, and evidence is compared place by place.
_QUANTIZED = (
    "Conv",
    "MatMul",
    "Add",
    "Mul",
    "Relu",
    "Clip",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Concat",
)


def quantized(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> onnx.ModelProto:
    """``model`` with 8-bit weights and activations, whose ranges are those on the images.

    Args:
        model: Of `build_onnx`; its metadata stays, and so do the graphs of a decoder, whose share
            of the time is small.
        pixels: (B, 3, H, W) images as it will see them.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, ready, small = (Path(folder) / name for name in ("plain", "ready", "small"))
        onnx.save(model, plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            small,
            _Reader(pixels),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_head(onnx.load(ready)),
            extra_options={"MatMulConstBOnly": True, "ActivationSymmetric": False},
        )
        found = onnx.load(small)
    texts = {entry.key: entry.value for entry in model.metadata_props}
    del found.metadata_props[:]
    onnx.helper.set_model_props(found, texts)
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    return found


def _head(model: onnx.ModelProto) -> list[str]:
    """The nodes in front of the first layer and behind the last convolution or product of weights.

    What a score is made from lies there: pooling, maps, boxes.
    """
    weights = {item.name for item in model.graph.initializer}
    layers = [
        at
        for at, node in enumerate(model.graph.node)
        if node.op_type in ("Conv", "MatMul") and any(name in weights for name in node.input[1:])
    ]
    first, last = (layers[0], layers[-1]) if layers else (len(model.graph.node), -1)
    return [
        node.name for at, node in enumerate(model.graph.node) if at < first or at > last + _MARGIN
    ]


# Of the last layer itself: its bias, residual sum and activation.
_MARGIN = 3


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # it ships no types
    """The images, a batch at a time."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches = iter(
            pixels[at : at + _BATCH].astype(np.float32) for at in range(0, len(pixels), _BATCH)
        )

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice of the quantizer, which goes to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
