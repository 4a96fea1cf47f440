"""Scoring label sets on a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from lookcloser import metrics
from lookcloser.core.types import Answer, Evaluation
from lookcloser.data import Catalog
from lookcloser.evaluation.localization import score_localisation
from lookcloser.evaluation.tag_sets import Tagged, tag_split
from lookcloser.evaluation.threshold_source import supervise
from lookcloser.inference.engine import TorchEngine
from lookcloser.metrics.multilabel import average_precision, multilabel_scores, set_scores

TOP_K = 3  # labels per image in the ranking scores, as in the literature
NEIGHBOURS = 3


def evaluate_multilabel(
    engine: TorchEngine,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    batch_size: int = 32,
    workers: int = 0,
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.evaluation` for the arguments.

    "C-P", "C-R", "C-F1", "O-P", "O-R", "O-F1" and "exact" score the sets that the model answers;
    the same with "@3" the three labels of the highest scores; "mAP", "mAP-VOC", "mAP-VOC11" and
    "mAP@10" the ranking. Conventions are those of `metrics.multilabel_scores`; "C-F1 macro" is the
    mean of the F1 of the labels. Where the model's search proves its answers, the settings say of
    how many images it did.
    """
    run = partial(tag_split, engine, batch_size=batch_size, workers=workers)
    header = engine.header
    supervision = supervise(threshold_from, catalog, split)
    tagged = run(catalog.split(split))
    scores = _scores(tagged)
    right = (tagged.answered == tagged.targets).all(axis=1)
    intervals = {"exact": metrics.bootstrap_interval(right)}
    settings = {"images": f"{len(tagged.samples)} of split {split}"}
    if tagged.certified:
        settings["search"] = f"exact, {sum(tagged.certified)} of {len(tagged.certified)} proved"
    ious: dict[int, list[float]] = {}
    grid = header.preprocessing.size
    places = tagged.grid_places(grid)
    if places.rows:
        others = run(supervision.samples).grid_places(grid) if supervision.samples else None
        found = score_localisation(places, others, supervision)
        scores |= found.scores
        intervals |= found.intervals
        settings |= found.settings
        for place, iou in zip(tagged.places, found.ious.tolist(), strict=True):
            ious.setdefault(place.row, []).append(iou)
    return Evaluation(
        task=catalog.task,
        split=split,
        names=header.names,
        metrics=scores,
        answers=tuple(_answers(tagged, ious)),
        intervals=intervals,
        per_class=_per_label(tagged, header.names),
        settings=settings,
        skipped=tagged.skipped,
        neighbours=_neighbours(engine.model.label_embeddings(), header.names),
    )


def _scores(tagged: Tagged) -> dict[str, float]:
    probabilities = tagged.logits.double().sigmoid().numpy()
    scores = set_scores(tagged.answered, tagged.targets)
    scores["C-F1 macro"] = set_scores(tagged.answered, tagged.targets, "macro")["C-F1"]
    ranking = multilabel_scores(probabilities, tagged.targets, k=TOP_K)
    for name, value in ranking.items():
        if name.startswith("mAP"):
            scores[name] = value
        elif "@" not in name:
            scores[f"{name}@{TOP_K}"] = value
    scores["nll"] = float(_losses(tagged).mean())
    return scores


def _losses(tagged: Tagged) -> Tensor:
    """(N,) binary cross-entropy of each image, summed over labels, in nats."""
    truth = torch.from_numpy(tagged.targets).to(tagged.logits)
    costs = F.binary_cross_entropy_with_logits(tagged.logits, truth, reduction="none")
    return costs.sum(dim=1)


def _per_label(tagged: Tagged, names: Sequence[str]) -> dict[str, dict[str, float]]:
    rows = {}
    for index, name in enumerate(names):
        answered, truth = (
            tagged.answered[:, index : index + 1],
            tagged.targets[:, index : index + 1],
        )
        own = set_scores(answered, truth)
        rows[name] = {
            "count": float(truth.sum()),
            "precision": own["C-P"],
            "recall": own["C-R"],
            "f1": own["C-F1"],
            "AP": average_precision(tagged.logits[:, index], truth[:, 0]),
        }
    return rows


def _answers(tagged: Tagged, ious: Mapping[int, Sequence[float]]) -> Iterator[Answer]:
    losses = _losses(tagged).tolist()
    for row, (sample, prediction) in enumerate(
        zip(tagged.samples, tagged.predictions, strict=True)
    ):
        boxes = tuple(box for _, box in sample.boxes)
        exact = bool((tagged.answered[row] == tagged.targets[row]).all())
        own = ious.get(row)
        iou = sum(own) / len(own) if own else None
        yield Answer(prediction, sample.labels, boxes, exact, iou, losses[row])


def _neighbours(
    vectors: Tensor | None, names: Sequence[str]
) -> dict[str, tuple[tuple[str, float], ...]]:
    """The labels of the highest cosine with each label, best first."""
    if vectors is None:
        return {}
    unit = F.normalize(vectors.float().cpu(), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)
    values, indices = cosines.topk(min(NEIGHBOURS, len(names) - 1))
    return {
        name: tuple((names[index], value) for index, value in zip(near, how, strict=True))
        for name, near, how in zip(names, indices.tolist(), values.tolist(), strict=True)
    }
