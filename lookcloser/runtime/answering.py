"""From the arrays of a network to one `Prediction` per image; only the task matters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import NotFiniteError, UsageError
from lookcloser.core.header import ModelHeader
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Label, Prediction, Region
from lookcloser.runtime.groups import sure_group
from lookcloser.runtime.outputs import ArrayOutput, Floats
from lookcloser.runtime.regions import map_regions, part_regions, scale_regions
from lookcloser.uncertainty import candidate_sets, refusals


class Promise(NamedTuple):
    """Sets of labels that hold the truth of a share of the images.

    Attributes:
        coverage: The share.
        sets: "lac" (the smallest sets, some may be empty) or "aps" (never empty).
    """

    coverage: float
    sets: str = "lac"


def softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    """Of each value, without overflow."""
    small = np.exp(-np.abs(logits))
    shares: Floats = np.where(logits >= 0, 1, small) / (1 + small)
    return shares


def label_scores(logits: Floats, header: ModelHeader) -> Floats:
    """(B, C) scores in [0, 1] as the task defines them: softmax, or sigmoid for tags.

    Divided by the model's temperature first, so that they are calibrated.

    Raises:
        NotFiniteError: For logits that are not finite; minus infinity rules a label out.
    """
    if bool((np.isnan(logits) | np.isposinf(logits)).any()):
        raise NotFiniteError(
            "the answer of the model is not finite (NaN or infinity)",
            fix="Its weights are of a training that diverged, or too large for its precision: "
            "train again with a lower --lr",
        )
    if header.calibration.temperature != 1:
        logits = logits / np.float32(header.calibration.temperature)
    return sigmoid(logits) if TRAITS[header.task].labels == "some" else softmax(logits)


def best_labels(
    logits: Floats, scores: Floats, names: Sequence[str], top: int
) -> tuple[Label, ...]:
    """The ``top`` best classes of one image, best first, of equal ones the first.

    Args:
        logits: (C,), which rank the classes as they rank maps: scores near 0 and 1 are rounded to
            equal ones.
        scores: (C,) of the same classes.
        names: Theirs.
        top: How many.
    """
    best = np.argsort(-logits, kind="stable")[: min(top, len(names))]
    return tuple(Label(names[index], float(scores[index]), index) for index in best.tolist())


def predictions(
    output: ArrayOutput,
    header: ModelHeader,
    sizes: Sequence[ImageSize],
    top: int,
    promise: Promise | None = None,
) -> Iterator[Prediction]:
    """The answers of a batch, in order, without paths.

    Args:
        output: Of the network. The maps of a classification are of its ``tokens``, each of which
            becomes a region.
        header: What belongs to the network.
        sizes: Of each original image.
        top: How many labels a classification names.
        promise: Of which coverage the candidates of a classification shall be; None names none.

    Raises:
        LookcloserError: For a promise that this model cannot make.
    """
    scores = label_scores(output.logits, header)
    if TRAITS[header.task].labels == "one":
        doubts = _doubts(output, scores, header, promise)
    elif promise is not None:
        raise UsageError(
            f"coverage {promise.coverage!s:.60}: this model answers {header.task}",
            allowed="A model that names one class",
        )
    for row, size in enumerate(sizes):
        if TRAITS[header.task].labels == "one":
            yield replace(_classified(output, scores[row], row, header, size, top), **doubts[row])
        else:
            yield _sequence(output, scores[row], row, header, size)


def _doubts(
    output: ArrayOutput, scores: Floats, header: ModelHeader, promise: Promise | None
) -> list[dict[str, Any]]:
    """Of each image the fields of `Prediction` that say what the model does not know."""
    doubts: list[dict[str, Any]] = [
        {"refusal": reason}
        for reason in refusals(header.calibration, output.logits, output.distances)
    ]
    if promise is None:
        return doubts
    sets = candidate_sets(header.calibration, scores, promise.coverage, promise.sets)
    for row, chosen in enumerate(sets):
        ranked = best_labels(output.logits[row], scores[row], header.names, len(header.names))
        candidates = tuple(label for label in ranked if chosen[label.index])
        doubts[row] |= {"candidates": candidates, "coverage": promise.coverage}
    return doubts


def _classified(
    output: ArrayOutput, scores: Floats, row: int, header: ModelHeader, size: ImageSize, top: int
) -> Prediction:
    labels = best_labels(output.logits[row], scores, header.names, top)
    regions = _regions(output, row, _labels(output, scores, row, header), header, size)
    regions += scale_regions(output, row, labels[0], size, header.box_kind)
    regions += part_regions(output, row, labels[0])
    group = sure_group(scores, header.names, header.parents)
    return Prediction(header.task, labels, regions, size, group=group)


def _sequence(
    output: ArrayOutput, scores: Floats, row: int, header: ModelHeader, size: ImageSize
) -> Prediction:
    """A set of tags or a caption: ``tokens`` in their order, each with its map as evidence."""
    path = _labels(output, scores, row, header)
    regions = _regions(output, row, path, header, size)
    if TRAITS[header.task].labels == "some":
        # By logits, as classes: scores near 0 and 1 are rounded to equal ones.
        labels = tuple(sorted(path, key=lambda label: -output.logits[row, label.index]))
        return Prediction(header.task, labels, regions, size)
    caption = " ".join(label.name for label in path)
    return Prediction(header.task, (), regions, size, caption=caption)


def _named(output: ArrayOutput, row: int) -> NDArray[np.int64]:
    """Which entries of ``tokens`` are there, not padding."""
    if output.tokens is None:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(output.tokens[row] >= 0)


def _labels(output: ArrayOutput, scores: Floats, row: int, header: ModelHeader) -> list[Label]:
    """The entries of ``tokens``; words have scores of their own, classes and tags those of all."""
    steps = _named(output, row)
    if output.tokens is None:
        return []
    chosen = output.tokens[row, steps]
    of_token = scores[chosen]
    if TRAITS[header.task].labels == "words" and output.token_scores is not None:
        of_token = output.token_scores[row, steps]
    return [
        Label(header.names[index], score, index)
        for index, score in zip(chosen.tolist(), of_token.tolist(), strict=True)
    ]


def _regions(
    output: ArrayOutput, row: int, labels: Sequence[Label], header: ModelHeader, size: ImageSize
) -> tuple[Region, ...]:
    if output.maps is None or not labels:
        return ()
    return map_regions(
        output.maps[row, _named(output, row)],
        labels,
        size,
        header.preprocessing.size,
        header.box_threshold,
        header.box_rule,
        kind=header.evidence_kind,
    )
