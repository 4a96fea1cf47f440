"""Many small images, and networks that are so small that they answer at once, without torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookcloser.batch import How, Job
from lookcloser.core.header import ModelHeader, header_text
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.runtime.onnx_file import KEY, PARTS_KEY, Parts, parts_text

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

COUNT = 300
BROKEN = 137


def write_network(path: Path, factor: float = 0.05) -> Path:
    """An exported file of which the classes are red, green and blue: the mean of each channel."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.eye(3, dtype=np.float32) * factor
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"]),
            helper.make_node("AveragePool", ["image"], ["saliency_map"], kernel_shape=[2, 2],
                             strides=[2, 2]),
        ],
        "network",
        [helper.make_tensor_value_info("image", kind, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info(name, kind, ["batch", 3]) for name in ("logits", "scores")]
        + [helper.make_tensor_value_info("saliency_map", kind, ["batch", 3, 4, 4])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    names = ("red", "green", "blue")
    header = ModelHeader("cam", {}, "classification", names, Preprocessing((8, 8)))
    helper.set_model_props(model, {KEY: header_text(header), PARTS_KEY: parts_text(Parts())})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("network") / "colors.onnx")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 images of one color each, no two alike, in two folders; one of them is broken."""
    root = tmp_path_factory.mktemp("photos") / "photos"
    for number in range(COUNT):
        path = root / f"{number % 2}" / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number == BROKEN:
            path.write_bytes(b"broken")
        else:
            color = (number % 256, number * 7 % 256, number * 13 % 256)
            Image.new("RGB", (9, 8), color).save(path)
    return root


@pytest.fixture
def job(network: Path, tmp_path: Path) -> Callable[..., Job]:
    """A job into a folder of the test, with other options where they are given."""

    def make(form: str = "jsonl", out: str = "out", **how: object) -> Job:
        values = {"batch_size": 8, **how}
        return Job(str(network), tmp_path / out, form, How(**values))  # type: ignore[arg-type]

    return make


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that tests start share two cores with all others."""
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
