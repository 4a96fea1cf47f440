"""Everything measured on one split, whatever the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.header import ModelHeader, check_known
from lookcloser.core.memory import kept_memory
from lookcloser.core.types import Evaluation
from lookcloser.data import Catalog
from lookcloser.evaluation.captioning import evaluate_captions
from lookcloser.evaluation.classification import evaluate_split
from lookcloser.evaluation.loop import Loop
from lookcloser.evaluation.multilabel import evaluate_multilabel
from lookcloser.evaluation.threshold_source import read_source, supervise
from lookcloser.inference.engine import TorchEngine
from lookcloser.runtime.spread import Spread

EVALUATIONS: dict[Task, Callable[..., Evaluation]] = {
    "classification": evaluate_split,
    "multilabel": evaluate_multilabel,
    "captioning": evaluate_captions,
}


def check_scored(header: ModelHeader, catalog: Catalog, split: str, threshold_from: str) -> int:
    """How many images `evaluate_data` would score with these arguments.

    Raises:
        LookcloserError: For what it refuses before it scores.
    """
    read_source(threshold_from)
    samples = catalog.split(split)
    if TRAITS[header.task].labels != "words":
        supervise(threshold_from, catalog, split)
        check_known((name for sample in samples for name in sample.labels), header)
    return len(samples)


@kept_memory()
def evaluate_data(
    engine: TorchEngine,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    evidence: int | None = None,
    flagged: Sequence[str] = (),
    batch_size: int = 32,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
    spread: Spread | None = None,
) -> Evaluation:
    """See `lookcloser.Recognizer.evaluation`; ``flagged`` as in `core.galleries.choose`."""
    read_source(threshold_from)
    return EVALUATIONS[engine.header.task](
        Loop(engine, batch_size, workers, progress, spread),
        catalog,
        split,
        threshold_from=threshold_from,
        evidence=evidence,
        flagged=flagged,
    )
