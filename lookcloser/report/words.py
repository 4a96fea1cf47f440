"""Sentences of the report: what was found, and what the evidence does not say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from lookcloser.core.choices import TRAITS
from lookcloser.core.results.scores import CENTER_BOX
from lookcloser.core.types import Evaluation
from lookcloser.report.scores import Row, number, percent
from lookcloser.report.tables import confused_pairs

ENOUGH = 100  # images, from which on an error of calibration of a few percent can be seen

LIMITS = (
    "A map shows which places raised the score of one answer. It is neither the outline of the "
    "thing nor a proof of the reason: a model can look at the right place for a wrong reason.",
    "Every map is scaled to its own strongest place. Colors compare places within one image, "
    "never two images.",
    "Boxes come from a threshold on the map. Another threshold gives another box: move the slider "
    "to see how much depends on it.",
    "The intervals are bootstraps over the images of this split. They say how much the scores "
    "would vary with other images of the same kind, not how the model does on other kinds.",
)

_LOOKED_INTO: Mapping[str, str] = {
    "scale": "The thin boxes are the scales that it looked into, each inside the one before",
    "place": "The thin boxes are the places that it looked at again, place 1 the one that counts "
    "most",
}


def findings(
    evaluation: Evaluation, rows: Sequence[Row], calibration: Mapping[str, Any] | None
) -> list[str]:
    """The evaluation in at most five sentences, from what it holds."""
    sentences = []
    correct = evaluation.images.correct
    if len(correct):
        sentences.append(
            f"{number(correct.sum())} of {number(len(correct))} images were given "
            f"{TRAITS[evaluation.task].right} ({percent(correct.mean())})."
        )
    weakest = _weakest_class(evaluation)
    if weakest:
        sentences.append(weakest)
    pairs = confused_pairs(evaluation)
    if pairs:
        pair = pairs[0]
        times = "once" if pair["count"] == 1 else f"{number(pair['count'])} times"
        sentences.append(
            f"The most frequent confusion: {pair['true']} taken for {pair['predicted']}, {times}."
        )
    compared = [row for row in rows if row.compared and CENTER_BOX in row.baselines]
    if compared:
        row = next((row for row in compared if row.name == "MaxBoxAcc@0.5"), compared[0])
        sentences.append(
            f"Localization, {row.title}: {row.value}; "
            f"the same box in the center of every image: {row.baselines[CENTER_BOX]}."
        )
    if calibration and TRAITS[evaluation.task].labels == "one":
        sentences.append(calibration_words(calibration, len(correct)))
    return sentences


def calibration_words(calibration: Mapping[str, Any], images: int) -> str:
    """How the confidence of the answers relates to their accuracy, in one sentence."""
    gap, error = calibration["gap"], calibration["error"]
    if error < 0.03 and images < ENOUGH:
        return (
            f"{number(images)} images are too few to tell whether the scores can be read as "
            "probabilities."
        )
    if error < 0.03:
        return "The scores can be read as probabilities: they agree with the accuracy."
    if abs(gap) < 0.02:
        return "Confidence and accuracy agree on average, but not at every level of confidence."
    word = "too sure" if gap > 0 else "not sure enough"
    side = "above" if gap > 0 else "below"
    return (
        f"The model is {word}: on average its confidence is "
        f"{100 * abs(gap):.1f} points {side} its accuracy."
    )


def map_sizes(evaluation: Evaluation) -> str:
    """The resolutions of the maps, e.g. "7 × 7"; empty where there are none."""
    sizes = {
        region.heatmap.shape[::-1]
        for answer in evaluation.answers
        for region in answer.prediction.regions
        if region.heatmap is not None
    }
    return ", ".join(f"{width}\u00a0×\u00a0{height}" for width, height in sorted(sizes)[:4])


def looked_into(evaluation: Evaluation) -> str:
    """What the boxes are that the answers looked into; empty where they have none."""
    kinds = {region.kind for answer in evaluation.answers for region in answer.prediction.regions}
    said = [words for kind, words in _LOOKED_INTO.items() if kind in kinds]
    return f"{said[0]}; the percentage of each is that of this look alone." if said else ""


def _weakest_class(evaluation: Evaluation) -> str:
    for measure in ("accuracy", "recall", "f1"):
        rows = [
            (row[measure], name)
            for name, row in evaluation.per_class.items()
            if math.isfinite(row.get(measure, math.nan))
        ]
        if len(rows) > 1 and min(rows)[0] < 1.0:
            value, name = min(rows)
            return f"The weakest class is {name}, with {_noun(measure)} {percent(value)}."
    return ""


def _noun(measure: str) -> str:
    return {"accuracy": "an accuracy of", "recall": "a recall of", "f1": "an F1 of"}[measure]
