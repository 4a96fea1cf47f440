"""The parts of a model as ONNX graphs."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Output
from lookcloser.models.file_form import Decoding, FileForm

OPSET = 20
INPUT = "image"
STATE = "state"

# The order in a file. Readers of the open "Model API" take the first for the scores, and no more
# than five.
LOGITS, SCORES, MAPS, VECTOR = "logits", "scores", "saliency_map", "feature_vector"
BOXES, PARTS, FEATURES = "boxes", "part_maps", "features"
DISTANCES = "distances"


class ImageGraph(nn.Module):
    """Images as they are -> named outputs: the normalization is inside.

    Args:
        form: Of the model.
        header: What belongs to it: how pixels are normalized, and how logits become scores.
    """

    def __init__(self, form: FileForm, header: ModelHeader) -> None:
        super().__init__()
        self.image, self.task = form.image, header.task
        self.temperature = header.calibration.temperature
        self.decodes = form.decoding is not None
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", _by_channel(header.preprocessing.mean))
        self.register_buffer("std", _by_channel(header.preprocessing.std))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in 0 … 255, RGB -> the outputs that the method gives, by name."""
        output: Output = self.image((image / 255 - self.mean) / self.std)
        logits = output.logits.float()
        calibrated = self.temperature != 1
        tempered = logits / self.temperature if calibrated else logits
        multilabel = self.task == "multilabel"
        scores = tempered.sigmoid() if multilabel else tempered.softmax(dim=1)
        found = {
            LOGITS: logits,
            SCORES: scores,
            MAPS: output.maps,
            BOXES: None if output.boxes is None else _scored_boxes(output, scores),
            PARTS: output.part_maps,
            DISTANCES: output.distances,
            VECTOR: output.vector,
            FEATURES: output.features if self.decodes else None,
        }
        # Readers of the Model API take the first output for logits unless it sums to 1.
        order = [SCORES, *found] if calibrated and not multilabel else list(found)
        given = ((name, found[name]) for name in dict.fromkeys(order))
        return {name: tensor for name, tensor in given if tensor is not None}


def image_graph(graph: ImageGraph, size: Grid) -> onnx.ModelProto:
    """``image`` (B, 3, H, W) of ``size`` -> the outputs of an `ImageGraph`."""
    example = torch.randint(256, (2, 3, *size), generator=_generator()).float()
    with torch.no_grad():
        names = list(graph(example))
    return _exported(graph, (example,), ({0: "batch"},), [INPUT], names)


def decoding_graphs(decoding: Decoding, features: Tensor) -> dict[str, onnx.ModelProto]:
    """The graphs "start", "step" and "evidence"; see `Decoding`.

    Args:
        decoding: Of the model.
        features: (2, D, h, w), an example.
    """
    with torch.no_grad():
        given = decoding.start(features)
    memory, state = given[: decoding.memory], given[decoding.memory :]
    memories = [f"memory_{number}" for number in range(len(memory))]
    states = [f"{STATE}_{number}" for number in range(len(state))]
    after = [f"next_{name}" for name in states]
    tokens = torch.full((2,), decoding.search.start)
    answer = torch.full((2, decoding.longest), -1)
    answer[:, 0] = 0
    batch, rows = {0: "batch"}, {0: "rows"}
    return {
        "start": _exported(decoding.start, (features,), (batch,), [FEATURES], memories + states),
        "step": _exported(
            _Positional(decoding.step, 1 + len(given)),
            (tokens, *memory, *state),
            (rows, *[batch] * len(memory), *[rows] * len(state)),
            ["tokens", *memories, *states],
            ["log_probs", *after],
        ),
        "evidence": _exported(
            decoding.evidence,
            (features, answer),
            (batch, batch),
            [FEATURES, "tokens"],
            ["maps"],
        ),
    }


class _Positional(nn.Module):
    """A module of ``(first, *rest)`` as one of that many arguments, which the exporter can name."""

    def __init__(self, module: nn.Module, count: int) -> None:
        super().__init__()
        self.module, self.count = module, count

    def forward(self, *given: Tensor) -> Any:
        return self.module(*given)


def _exported(
    module: nn.Module,
    example: tuple[Tensor, ...],
    dynamic: tuple[dict[int, str], ...],
    inputs: list[str],
    outputs: list[str],
) -> onnx.ModelProto:
    shapes: Any = (dynamic,) if isinstance(module, _Positional) else dynamic
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # of the dynamo exporter
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress and its warnings about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise LookcloserError(
            f"this model cannot be written as ONNX: {reason}",
            fix="Its backbone uses an operation that the exporter of torch does not know; train "
            "with another backbone",
        ) from error
    finally:
        logger.setLevel(level)


def _scored_boxes(output: Output, scores: Tensor) -> Tensor:
    """(B, S, 5): boxes and how sure each one's scale is of the best class.

    Of scales without logits of their own that is the answer's ``scores`` (B, C), as in
    `lookcloser.runtime.regions.scale_regions`.
    """
    assert output.boxes is not None  # or there is nothing to score
    count = output.boxes.shape[1]
    shares = scores[:, None].expand(-1, count, -1)
    if output.scale_logits is not None:
        shares = output.scale_logits[:, 1:].float().softmax(dim=2)
    best = output.logits.argmax(dim=1)[:, None, None].expand(-1, count, -1)
    return torch.cat([output.boxes.float(), shares.gather(2, best)], dim=2)


def _by_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
