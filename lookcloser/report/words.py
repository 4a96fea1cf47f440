"""Sentences of the report: what was found, and what the evidence does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookcloser.core.types import Evaluation
from lookcloser.report.scores import number, percent
from lookcloser.report.tables import confused_pairs

LIMITS = (
    "A map shows which places raised the score of one class. It is neither the outline of the "
    "thing nor a proof of the reason: a model can look at the right place for a wrong reason.",
    "Every map is scaled to its own strongest place. Colours compare places within one picture, "
    "never two pictures.",
    "Boxes come from a threshold on the map. Another threshold gives another box: move the slider "
    "to see how much depends on it.",
    "The intervals are bootstraps over the pictures of this split. They say how much the scores "
    "would vary with other pictures of the same kind, not how the model does on other kinds.",
)


def findings(evaluation: Evaluation, calibration: Mapping[str, Any] | None) -> list[str]:
    """The evaluation in at most four sentences, from what it holds."""
    sentences = []
    answered = [answer for answer in evaluation.answers if answer.prediction.error is None]
    if answered and evaluation.task != "captioning":
        right = sum(answer.correct for answer in answered)
        best = "the right class" if evaluation.task == "classification" else "a true label first"
        sentences.append(
            f"{number(right)} of {number(len(answered))} pictures were given {best} "
            f"({percent(right / len(answered))})."
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
    if calibration and evaluation.task == "classification":
        sentences.append(_calibration_sentence(calibration))
    return sentences


def calibration_word(gap: float) -> str:
    """What the mean of confidence minus accuracy says about the model."""
    if abs(gap) < 0.02:
        return "about right"
    return "too sure" if gap > 0 else "not sure enough"


def map_sizes(evaluation: Evaluation) -> str:
    """The resolutions of the maps, e.g. "7 × 7"; empty where there are none."""
    sizes = {
        region.heatmap.shape[::-1]
        for answer in evaluation.answers
        for region in answer.prediction.regions
        if region.heatmap is not None
    }
    return ", ".join(f"{width} × {height}" for width, height in sorted(sizes)[:4])


def _weakest_class(evaluation: Evaluation) -> str:
    for measure in ("accuracy", "recall", "f1"):
        rows = [(row[measure], n) for n, row in evaluation.per_class.items() if measure in row]
        if len(rows) > 1 and min(rows)[0] < 1.0:
            value, name = min(rows)
            return f"The weakest class is {name}, with {_noun(measure)} {percent(value)}."
    return ""


def _noun(measure: str) -> str:
    return {"accuracy": "an accuracy of", "recall": "a recall of", "f1": "an F1 of"}[measure]


def _calibration_sentence(calibration: Mapping[str, Any]) -> str:
    gap = calibration["gap"]
    word = calibration_word(gap)
    if word == "about right":
        return "The scores can be read as probabilities: on average they match the accuracy."
    return f"The model is {word}: its scores are {percent(abs(gap))} off the accuracy on average."
