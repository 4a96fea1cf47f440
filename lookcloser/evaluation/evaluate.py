"""Everything measured on one split, whatever the task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lookcloser.core.types import Evaluation, Task
from lookcloser.data import Catalog
from lookcloser.evaluation.captioning import evaluate_captions
from lookcloser.evaluation.classification import evaluate_split
from lookcloser.evaluation.multilabel import evaluate_multilabel
from lookcloser.evaluation.shifts import move_scores
from lookcloser.evaluation.threshold_source import read_source
from lookcloser.inference.engine import TorchEngine

EVALUATIONS: dict[Task, Callable[..., Evaluation]] = {
    "classification": evaluate_split,
    "multilabel": evaluate_multilabel,
    "captioning": evaluate_captions,
}


def evaluate_data(
    engine: TorchEngine,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    batch_size: int = 32,
    workers: int = 0,
) -> Evaluation:
    """See `lookcloser.Recognizer.evaluation`."""
    read_source(threshold_from)
    found = EVALUATIONS[engine.header.task](
        engine,
        catalog,
        split,
        threshold_from=threshold_from,
        batch_size=batch_size,
        workers=workers,
    )
    moved = move_scores([answer.prediction for answer in found.answers])
    return replace(found, metrics={**found.metrics, **moved})
