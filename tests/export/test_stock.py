"""Stock classifiers of timm: their file answers as they do, with the class maps they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lookcloser
from lookcloser.core.errors import UsageError
from lookcloser.runtime.onnx import OnnxRecognizer

from ..stock import stock


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any, Any]]:
    """The recognizer, its file opened, and what exporting found, by timm's name."""
    folder = tmp_path_factory.mktemp("stock")

    def export(name: str) -> tuple[Any, Any, Any]:
        recognizer = stock(name, folder)
        found = recognizer.export(folder / f"{name}.onnx")
        return recognizer, lookcloser.load(found.path), found

    return export


def images(count: int) -> list[np.ndarray]:
    """Soft blots of color."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)
    return [one.repeat(9, axis=0).repeat(9, axis=1) for one in coarse]


def test_a_convolutional_network_takes_its_class_maps_along(
    exported: Callable[[str], tuple[Any, Any, Any]],
) -> None:
    recognizer, file, found = exported("test_resnet")
    assert isinstance(file, OnnxRecognizer)
    assert found.differences.logits < 1e-4
    assert found.differences.maps < 1e-4
    model = onnx.load(found.path)
    onnx.checker.check_model(model)
    outputs = {item.name for item in model.graph.output}
    assert outputs == {"logits", "scores", "saliency_map", "feature_vector"}
    for one, other in zip(file.predict(images(3)), recognizer.predict(images(3)), strict=True):
        assert [label.name for label in one.labels] == [label.name for label in other.labels]
        assert one.labels[0].score == pytest.approx(other.labels[0].score, abs=1e-4)
        assert len(one.regions) == 5
        for region, wanted in zip(one.regions, other.regions, strict=True):
            assert region.box == (wanted.box and pytest.approx(wanted.box, abs=0.5))
            np.testing.assert_allclose(region.heatmap, wanted.heatmap, atol=1e-3)
    assert not any(module._forward_hooks for module in recognizer.model.modules())


def test_a_network_without_class_maps_answers_without_evidence(
    exported: Callable[[str], tuple[Any, Any, Any]],
) -> None:
    recognizer, file, found = exported("test_vit")
    assert found.differences.maps is None
    (one,), (other,) = (engine.predict(images(1)) for engine in (file, recognizer))
    assert [label.name for label in one.labels] == [label.name for label in other.labels]
    assert not one.regions
    assert other.regions


def test_8_bits_need_images_that_are_given(tmp_path: Path) -> None:
    recognizer = lookcloser.load("timm:test_resnet", device="cpu", weights="none")
    with pytest.raises(UsageError, match="Give --out"):
        recognizer.export()
    with pytest.raises(lookcloser.LookcloserError, match="--calibrate FOLDER"):
        recognizer.export(tmp_path / "a.onnx", int8=True)
