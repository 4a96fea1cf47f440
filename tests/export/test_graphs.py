"""What a file computes, before it is one: outputs by name, in the order that others read."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lookcloser.core.calibration import Calibration
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing, normalized
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Output
from lookcloser.export.graphs import ImageGraph, _quiet
from lookcloser.models.file_form import FileForm
from lookcloser.runtime import ArrayOutput, predictions

SETTINGS = Preprocessing((4, 6), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
HEADER = ModelHeader("cam", {}, "classification", ("a", "b", "c"), SETTINGS)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 6), dtype=np.uint8)
LOGITS = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 3.5]])
BOXES = torch.tensor([[[-1.0, -1, 0, 0], [0, 0, 1, 1]], [[-1, 0, 0, 1], [0, -1, 1, 0]]])


class Given(nn.Module):
    """A network whose answer is given, and that remembers what it saw."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output = output
        self.seen: Tensor

    def forward(self, images: Tensor) -> Output:
        self.seen = images
        return self.output


def outputs(output: Output, header: ModelHeader = HEADER) -> dict[str, Tensor]:
    return ImageGraph(FileForm(Given(output)), header)(torch.from_numpy(PIXELS).float())


def test_normalization_is_that_of_a_prediction() -> None:
    network = Given(Output(LOGITS))
    ImageGraph(FileForm(network), HEADER)(torch.from_numpy(PIXELS).float())
    np.testing.assert_allclose(network.seen, normalized(PIXELS, SETTINGS), rtol=1e-5, atol=1e-5)


def test_only_what_the_method_gives_is_put_out_in_the_order_of_readers() -> None:
    assert list(outputs(Output(LOGITS))) == ["logits", "scores"]
    every = Output(
        LOGITS,
        maps=torch.ones(2, 3, 2, 2),
        boxes=BOXES,
        part_maps=torch.ones(2, 2, 2, 2),
        features=torch.ones(2, 5, 2, 2),
        distances=torch.ones(2),
        vector=torch.ones(2, 5),
    )
    assert list(outputs(every)) == [
        "logits", "scores", "saliency_map", "boxes", "part_maps", "distances", "feature_vector",
    ]  # fmt: skip


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
def test_scores_are_calibrated_and_logits_are_not(temperature: float) -> None:
    header = replace(HEADER, calibration=Calibration(temperature))
    found = outputs(Output(LOGITS), header)
    torch.testing.assert_close(found["logits"], LOGITS)
    torch.testing.assert_close(found["scores"], (LOGITS / temperature).softmax(dim=1))
    # Readers take the first for logits unless it sums to 1; calibrated ones are to be seen.
    assert next(iter(found)) == ("logits" if temperature == 1 else "scores")
    tags = outputs(Output(LOGITS), replace(header, task="multilabel"))
    torch.testing.assert_close(tags["scores"], (LOGITS / temperature).sigmoid())
    assert next(iter(tags)) == "logits"


def test_half_precision_leaves_as_float32() -> None:
    found = outputs(Output(LOGITS.half(), boxes=BOXES.half()))
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_a_box_has_the_score_of_the_best_class_on_its_own_scale() -> None:
    scales = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    found = outputs(Output(LOGITS, boxes=BOXES, scale_logits=scales))["boxes"]
    torch.testing.assert_close(found[..., :4], BOXES)
    shares = scales.softmax(dim=2)
    for row, best in enumerate((0, 2)):
        for scale in (0, 1):  # the first logits are those of the whole image, which has no box
            assert found[row, scale, 4] == pytest.approx(shares[row, scale + 1, best].item())


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_without_logits_of_its_own_a_scale_has_the_score_of_the_answer(temperature: float) -> None:
    header = replace(HEADER, calibration=Calibration(temperature))
    found = outputs(Output(LOGITS, boxes=BOXES), header)["boxes"][..., 4]
    arrays = ArrayOutput(LOGITS.numpy(), boxes=BOXES.numpy())
    for row, prediction in enumerate(predictions(arrays, header, [ImageSize(8, 8)] * 2, 1)):
        wanted = [region.score for region in prediction.regions]
        assert found[row].tolist() == pytest.approx(wanted, rel=1e-5)


def test_an_operation_that_cannot_be_written_is_named_in_one_line() -> None:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    cause = RuntimeError("no rule for aten::strange\nand forty more lines")
    with (
        pytest.raises(LookcloserError, match=r"as ONNX: no rule for aten::strange\. ") as raised,
        _quiet(),
    ):
        raise torch.onnx.errors.OnnxExporterError("failed") from cause
    assert "\n" not in str(raised.value)
    assert "another backbone" in str(raised.value)
    assert logger.level == level


def test_the_exporter_is_quiet_and_all_else_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with _quiet():
        print("[torch.onnx] Obtain model graph…")
        assert not logger.isEnabledFor(logging.WARNING)
    print("heard")
    assert capsys.readouterr().out == "heard\n"
    assert logger.level == level
    with pytest.raises(ZeroDivisionError), _quiet():
        raise ZeroDivisionError
    assert logger.level == level
