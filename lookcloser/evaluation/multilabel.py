"""Scoring label sets on a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser import metrics
from lookcloser.core.results.scores import Score
from lookcloser.core.types import Evaluation
from lookcloser.data import Catalog
from lookcloser.evaluation.kept import KeptAnswers
from lookcloser.evaluation.localization.scoring import (
    BoxTally,
    Thresholds,
    image_means,
    score_boxes,
)
from lookcloser.evaluation.loop import Columns, Loop
from lookcloser.evaluation.shifts import ShiftTally
from lookcloser.evaluation.tag_sets import TagBatch, tag_batches, tag_places
from lookcloser.evaluation.threshold_source import supervise
from lookcloser.inference.split_loop import Skipped
from lookcloser.metrics.multilabel import average_precision, multilabel_scores, set_scores

TOP_K = 3  # labels per image in the ranking scores, as in the literature
NEIGHBORS = 3


def evaluate_multilabel(
    loop: Loop,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    evidence: int | None = None,
    flagged: Sequence[str] = (),
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.evaluation` for the arguments.

    "C-P", "C-R", "C-F1", "O-P", "O-R", "O-F1" and "exact" score the sets that the model answers;
    the same with "@3" the three labels of the highest scores; "mAP", "mAP-VOC", "mAP-VOC11" and
    "mAP@10" the ranking. Conventions are those of `metrics.multilabel_scores`; "C-F1 macro" is the
    mean of the F1 of the labels. Where the model's search proves its answers, the settings say of
    how many images it did.
    """
    header, classes = loop.engine.header, len(loop.engine.header.names)
    supervision = supervise(threshold_from, catalog, split)
    thresholds = Thresholds.of(supervision, tag_places(loop, supervision.samples), classes)
    boxes, moves = BoxTally(classes, thresholds.levels), ShiftTally()
    kept, columns, skipped = KeptAnswers(evidence, flagged), Columns(), Skipped()
    for said in tag_batches(loop, catalog.split(split), skipped):
        places = said.places(header)
        found = boxes.add(places)
        needed = evidence != 0 or header.evidence_kind != "map"
        answers = said.answers(header) if needed else []
        moves.add(answer.prediction for answer in answers)
        columns.add(**_numbers(said))
        kept.add(
            (said.answered == said.targets).all(axis=1),
            said.losses(),
            sum(bool(sample.boxes) for sample in said.batch.samples),
            image_means(found, places.images - said.first, len(said.batch.samples)),
            answers,
        )
    scores = _scores(columns)
    settings = {"images": f"{kept.count} of split {split}"}
    if "certified" in columns:
        proved = columns["certified"]
        settings["search"] = f"exact, {proved.sum()} of {len(proved)} proved"
    level, ious = thresholds.levels[0], np.full(kept.count, np.nan)
    if boxes.count:
        box_scores, level, words = score_boxes(boxes, thresholds)
        scores += box_scores
        settings |= words
        ious = boxes.of_images(level, kept.count)
    shown, tally = kept.result(ious, thresholds.column(level))
    return Evaluation(
        task=catalog.task,
        split=split,
        names=header.names,
        scores=scores + moves.scores(),
        answers=shown,
        per_class=_per_label(columns, header.names),
        settings=settings,
        skipped=tuple(skipped),
        neighbors=_neighbors(loop.engine.model.label_embeddings(), header.names),
        shifts=moves.shifts(),
        tally=tally,
    )


def _numbers(said: TagBatch) -> dict[str, NDArray[np.generic]]:
    """What is kept of each image: rankings need the score of every label."""
    kept: dict[str, NDArray[np.generic]] = {
        "logits": said.output.logits,
        "answered": said.answered,
        "target": said.targets,
        "loss": said.losses(),
    }
    if said.output.certified is not None:
        kept["certified"] = said.output.certified
    return kept


def _scores(columns: Columns) -> tuple[Score, ...]:
    answered, targets = columns["answered"], columns["target"]
    probabilities = torch.from_numpy(columns["logits"]).double().sigmoid().numpy()
    values = set_scores(answered, targets)
    values["C-F1 macro"] = set_scores(answered, targets, "macro")["C-F1"]
    ranking = multilabel_scores(probabilities, targets, k=TOP_K)
    for name, value in ranking.items():
        if name.startswith("mAP"):
            values[name] = value
        elif "@" not in name:
            values[f"{name}@{TOP_K}"] = value
    exact = metrics.bootstrap_interval((answered == targets).all(axis=1))
    scores = [
        Score(name, value, exact if name == "exact" else None, higher_is_better=True)
        for name, value in values.items()
    ]
    nll = float(columns["loss"].mean())
    return (*scores, Score("nll", nll, higher_is_better=False, is_share=False))


def _per_label(columns: Columns, names: Sequence[str]) -> dict[str, dict[str, float]]:
    logits, all_answered, targets = columns["logits"], columns["answered"], columns["target"]
    rows = {}
    for index, name in enumerate(names):
        answered, truth = all_answered[:, index : index + 1], targets[:, index : index + 1]
        own = set_scores(answered, truth)
        rows[name] = {
            "count": float(truth.sum()),
            "precision": own["C-P"],
            "recall": own["C-R"],
            "f1": own["C-F1"],
            "AP": average_precision(logits[:, index], truth[:, 0]),
        }
    return rows


def _neighbors(
    vectors: Tensor | None, names: Sequence[str]
) -> dict[str, tuple[tuple[str, float], ...]]:
    """The labels of the highest cosine with each label, best first."""
    if vectors is None:
        return {}
    unit = F.normalize(vectors.float().cpu(), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)
    values, indices = cosines.topk(min(NEIGHBORS, len(names) - 1))
    return {
        name: tuple((names[index], value) for index, value in zip(near, how, strict=True))
        for name, near, how in zip(names, indices.tolist(), values.tolist(), strict=True)
    }
