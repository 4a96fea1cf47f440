"""Scoring a classifier on a split, with the evidence of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core.header import check_known
from lookcloser.core.types import Answer, Box, Evaluation, Prediction
from lookcloser.data import Catalog, Sample
from lookcloser.data.targets import ClassTargets
from lookcloser.evaluation.answers import placed
from lookcloser.evaluation.localization import Places, find_places, score_localisation
from lookcloser.evaluation.mask_scores import find_masks, score_masks
from lookcloser.evaluation.threshold_source import supervise
from lookcloser.inference.engine import TorchEngine, as_arrays
from lookcloser.inference.split_loop import Skipped, SplitBatch, run_split
from lookcloser.models import Model
from lookcloser.runtime import ArrayOutput, label_scores, predictions

TOP = 5

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Answered:
    """What the model said of the readable images of a split, row by row.

    Attributes:
        samples: The images.
        sizes: (width, height) of each.
        predictions: The answers, each with the evidence for its best and for its true class.
        probabilities: (N, C).
        targets: (N,) true classes.
        maps: (N, h, w) raw maps of the true class.
        scale_logits: (N, S, C) of every scale on its own; None for methods without scales.
        skipped: (name, reason) of the other images.
    """

    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    predictions: tuple[Prediction, ...]
    probabilities: Floats
    targets: NDArray[np.int64]
    maps: Floats
    scale_logits: Floats | None
    skipped: tuple[tuple[str, str], ...]

    def true_boxes(self) -> list[tuple[Box, ...]]:
        """The boxes of the true class of each image, in original pixels."""
        return [sample.boxes_of(sample.labels[0]) for sample in self.samples]

    def places(self, grid: tuple[int, int]) -> Places:
        """The maps of the true class beside the true boxes, where there are boxes."""
        return find_places(self.maps, self.true_boxes(), self.sizes, grid, self.targets.tolist())


def answer_split(
    engine: TorchEngine,
    samples: Sequence[Sample],
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Answered:
    """Run the model over samples; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For a class the model does not know, and where no image can be read.
    """
    header = engine.header
    check_known((sample.labels[0] for sample in samples), header)
    skipped: Skipped = []
    read: list[Sample] = []
    sizes: list[tuple[int, int]] = []
    answers: list[Prediction] = []
    targets, truths, outputs = [], [], []
    for batch, (output, truth) in run_split(
        engine,
        samples,
        ClassTargets(header.names),
        partial(_ask, engine.model),
        skipped,
        batch_size=batch_size,
        workers=workers,
    ):
        found = predictions(output, header, batch.sizes, TOP)
        answers += [placed(*pair) for pair in zip(found, batch.samples, strict=True)]
        read += batch.samples
        sizes += batch.sizes
        targets.append(batch.targets.numpy())
        truths.append(truth)
        outputs.append(output)
    scales = [output.scale_logits for output in outputs if output.scale_logits is not None]
    return Answered(
        samples=tuple(read),
        sizes=tuple(sizes),
        predictions=tuple(answers),
        probabilities=label_scores(np.concatenate([o.logits for o in outputs]), header),
        targets=np.concatenate(targets),
        maps=np.concatenate(truths),
        scale_logits=np.concatenate(scales) if scales else None,
        skipped=tuple(skipped),
    )


def _ask(model: Model, batch: SplitBatch) -> tuple[ArrayOutput, Floats]:
    """The output with the maps of the best and, where it is another, the true class.

    Beside it the maps (B, h, w) of the true classes.
    """
    truth = batch.targets[:, None].to(batch.images.device)
    output = model(batch.images, top=TOP)
    if output.maps is None:
        return as_arrays(output), np.zeros((len(truth), 1, 1), np.float32)
    best, place = output.tokens[:, :1], (output.tokens == truth).int().argmax(dim=1)
    true_maps = output.maps[torch.arange(len(truth)), place]
    # The truth is rarely not among the best: maps of all classes would be thrown away.
    missed = (output.tokens != truth).all(dim=1)
    if missed.any():
        asked_again = model(batch.images[missed], targets=truth[missed])
        true_maps[missed] = asked_again.maps[:, 0].to(true_maps.dtype)
    shown = output._replace(
        maps=torch.stack([output.maps[:, 0], true_maps], dim=1),
        tokens=torch.cat([best, torch.where(best == truth, -1, truth)], dim=1),
    )
    return as_arrays(shown), true_maps.float().cpu().numpy()


def evaluate_split(
    engine: TorchEngine,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    batch_size: int = 32,
    workers: int = 0,
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.evaluation` for the arguments."""
    run = partial(answer_split, engine, batch_size=batch_size, workers=workers)
    names, grid = engine.header.names, engine.header.preprocessing.size
    supervision = supervise(threshold_from, catalog, split)
    answered = run(catalog.split(split))
    scores, intervals = _classification_scores(answered)
    settings = {"images": f"{len(answered.samples)} of split {split}"}
    ious: dict[int, float] = {}
    places = answered.places(grid)
    if places.rows:
        others = run(supervision.samples).places(grid) if supervision.samples else None
        found = score_localisation(places, others, supervision)
        rows = list(places.rows)
        asked = answered.probabilities[rows], answered.targets[rows], found.ious
        scores |= found.scores
        scores |= {f"top{k}_loc": metrics.top_k_localisation(*asked, k=k) for k in (1, 5)}
        intervals |= found.intervals
        ious = dict(zip(rows, found.ious.tolist(), strict=True))
        settings |= found.settings
    masks = find_masks(catalog.root, answered.samples)
    if masks:
        scores |= score_masks(answered.maps, masks, answered.sizes, grid)
        settings["masks"] = f"{len(masks)}, of the true class, for scoring only"
    predicted = answered.probabilities.argmax(axis=1)
    return Evaluation(
        task=catalog.task,
        split=split,
        names=names,
        metrics=scores,
        answers=tuple(_answers(answered, ious)),
        intervals=intervals,
        per_class=metrics.per_class(predicted, answered.targets, names),
        confusion=metrics.confusion_matrix(predicted, answered.targets, len(names)),
        calibration=metrics.reliability(answered.probabilities, answered.targets),
        settings=settings,
        skipped=answered.skipped,
    )


def class_places(engine: TorchEngine, samples: Sequence[Sample]) -> Places:
    """The maps of the true classes beside the true boxes."""
    return answer_split(engine, samples).places(engine.header.preprocessing.size)


def _classification_scores(
    answered: Answered,
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    probabilities, targets = answered.probabilities, answered.targets
    classes = probabilities.shape[1]
    right = metrics.topk_hits(probabilities, targets, 1)
    scores = {
        "top1": float(right.mean()),
        "top5": metrics.topk_accuracy(probabilities, targets, 5),
        "macro_f1": metrics.macro_f1(probabilities.argmax(axis=1), targets, classes),
        "ece": metrics.expected_calibration_error(probabilities, targets),
        "nll": float(_losses(answered).mean()),
    }
    if answered.scale_logits is not None:
        best = answered.scale_logits.argmax(axis=2)
        by_scale = (best == targets[:, None]).mean(axis=0)
        scores |= {f"top1 scale {n}": value for n, value in enumerate(by_scale.tolist(), 1)}
    return scores, {"top1": metrics.bootstrap_interval(right)}


def _losses(answered: Answered) -> Floats:
    """(N,) cross-entropy of the truth, in nats."""
    of_truth = np.take_along_axis(answered.probabilities, answered.targets[:, None], axis=1)[:, 0]
    losses: Floats = -np.log(np.maximum(of_truth, 1e-12))
    return losses


def _answers(answered: Answered, ious: dict[int, float]) -> Iterator[Answer]:
    losses, boxes = _losses(answered), answered.true_boxes()
    for row, (sample, prediction) in enumerate(
        zip(answered.samples, answered.predictions, strict=True)
    ):
        correct = prediction.labels[0].index == answered.targets[row]
        yield Answer(
            prediction, sample.labels, boxes[row], bool(correct), ious.get(row), float(losses[row])
        )
