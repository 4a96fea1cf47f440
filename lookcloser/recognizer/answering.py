"""From one `Output` to one `Prediction` per image; only the task matters, not the method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lookcloser.core.errors import UsageError
from lookcloser.core.types import Kind, Label, Output, Prediction, Region
from lookcloser.models import Package, model_class
from lookcloser.recognizer.evidence import (
    Size,
    class_labels,
    map_regions,
    part_regions,
    scale_regions,
)


class Promise(NamedTuple):
    """Sets of labels that hold the truth of a share of the images.

    Attributes:
        coverage: The share.
        sets: "lac" (the smallest sets, some may be empty) or "aps" (never empty).
    """

    coverage: float
    sets: str = "lac"


def label_scores(logits: Tensor, package: Package) -> Tensor:
    """(B, C) scores in [0, 1] as the task defines them: softmax, or sigmoid for tags.

    At the temperature of the model, so that they mean what they say.
    """
    logits = logits.float() / package.calibration.temperature
    return logits.sigmoid() if package.task == "multilabel" else logits.softmax(dim=1)


def predictions(
    output: Output,
    package: Package,
    sizes: Sequence[Size],
    top: int,
    promise: Promise | None = None,
) -> Iterator[Prediction]:
    """The answers of a batch, in order, without paths.

    Args:
        output: Of `Model.answer`.
        package: What belongs to the model.
        sizes: (width, height) of each original image.
        top: How many labels a classification names.
        promise: Of which coverage its candidates shall be; None names none.

    Raises:
        LookcloserError: For a promise that this model cannot make.
    """
    scores = label_scores(output.logits, package)
    doubts = image_doubts(output, scores, package, promise)
    for row, size in enumerate(sizes):
        if package.task == "classification":
            answer = _classified(output, scores[row], row, package, size, top)
            yield replace(answer, **doubts[row])
        else:
            yield _sequence(output, scores[row], row, package, size)


def image_doubts(
    output: Output, scores: Tensor, package: Package, promise: Promise | None = None
) -> list[dict[str, Any]]:
    """Of each image the fields of `Prediction` that say what the model does not know.

    Args:
        output: Of a classifier; other tasks have no such fields.
        scores: (B, C), its `label_scores`.
        package: What belongs to the model.
        promise: As in `predictions`.

    Raises:
        LookcloserError: As `predictions`.
    """
    if package.task != "classification":
        if promise is not None:
            raise UsageError(
                f"coverage {promise.coverage:g}: this model answers {package.task}",
                allowed="A model that names one class",
            )
        return []
    distances = None if output.distances is None else output.distances.float().cpu().numpy()
    logits = output.logits.float().cpu().numpy()
    doubts: list[dict[str, Any]] = [
        {"refusal": refusal} for refusal in package.calibration.refusals(logits, distances)
    ]
    if promise is None:
        return doubts
    sets = package.calibration.sets(scores.cpu().numpy(), promise.coverage, promise.sets)
    for row, chosen in enumerate(sets):
        ranked = class_labels(scores[row], package.names, len(package.names))
        candidates = tuple(label for label in ranked if chosen[label.index])
        doubts[row] |= {"candidates": candidates, "coverage": promise.coverage}
    return doubts


def _classified(
    output: Output, scores: Tensor, row: int, package: Package, size: Size, top: int
) -> Prediction:
    labels = class_labels(scores, package.names, top)
    regions: tuple[Region, ...] = ()
    if output.maps is not None:
        maps = output.maps[row, : len(labels)]
        regions = map_regions(maps, labels, size, package.preprocessing.size, package.box_threshold)
    regions += scale_regions(output, row, labels[0], size)
    regions += part_regions(output, row, labels[0])
    return Prediction(package.task, labels, regions, size)


def evidence_kind(package: Package) -> Kind:
    """What a piece of evidence is of an answer of several tokens."""
    if package.task == "captioning":
        return "word"
    return "step" if model_class(package.method).sequential else "map"


def _sequence(output: Output, scores: Tensor, row: int, package: Package, size: Size) -> Prediction:
    """A set of tags or a caption: ``tokens`` in their order, each with its map as evidence."""
    tokens = torch.empty(0, dtype=torch.long) if output.tokens is None else output.tokens[row]
    steps = torch.nonzero(tokens >= 0)[:, 0]
    chosen = tokens[steps].tolist()
    tags = package.task == "multilabel"
    of_token = scores[tokens[steps]] if tags or output.token_scores is None else None
    if of_token is None:
        assert output.token_scores is not None  # or it would not be None
        of_token = output.token_scores[row, steps]
    path = [
        Label(package.names[index], score, index)
        for index, score in zip(chosen, of_token.tolist(), strict=True)
    ]
    regions: tuple[Region, ...] = ()
    if output.maps is not None and path:
        regions = map_regions(
            output.maps[row, steps],
            path,
            size,
            package.preprocessing.size,
            package.box_threshold,
            kind=evidence_kind(package),
        )
    if tags:
        labels = tuple(sorted(path, key=lambda label: -label.score))
        return Prediction(package.task, labels, regions, size)
    caption = " ".join(label.name for label in path)
    return Prediction(package.task, (), regions, size, caption=caption)
