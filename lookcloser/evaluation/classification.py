"""Scoring a classifier on a split, with the evidence of its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser import metrics
from lookcloser.core.calibration import Calibration
from lookcloser.core.choices import BoxKind
from lookcloser.core.header import ModelHeader, check_known
from lookcloser.core.results.scores import Score
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Answer, Box, Evaluation
from lookcloser.data import Catalog, Sample
from lookcloser.data.targets import ClassTargets
from lookcloser.evaluation.answers import placed
from lookcloser.evaluation.groups import group_columns, group_scores
from lookcloser.evaluation.kept import KeptAnswers
from lookcloser.evaluation.localization.map_boxes import Places, find_places
from lookcloser.evaluation.localization.mask_scores import MaskTally
from lookcloser.evaluation.localization.scale_boxes import ScaleBoxTally, look_names
from lookcloser.evaluation.localization.scoring import (
    BoxTally,
    Thresholds,
    image_means,
    score_boxes,
    score_top_k,
)
from lookcloser.evaluation.loop import Columns, Loop
from lookcloser.evaluation.shifts import ShiftTally
from lookcloser.evaluation.threshold_source import supervise
from lookcloser.inference.engine import as_arrays
from lookcloser.inference.split_loop import Skipped, SplitBatch
from lookcloser.metrics.classification import (
    calibration_error,
    confidence_bins,
    least_calibration_error,
)
from lookcloser.models import Model
from lookcloser.runtime import ArrayOutput, Promise, label_scores, predictions
from lookcloser.uncertainty import FAR, LOOK_ALIKE, candidate_sets, refusals

TOP = 5
COVERAGE = 0.95  # of the sets that an evaluation scores

Floats = NDArray[np.float32]


class Answered(NamedTuple):
    """What the model said of the readable images of a batch.

    Attributes:
        samples: The images.
        sizes: Of each.
        first: The number of the first among the readable images of the split.
        output: With the evidence for the best and, where it differs, for the true class.
        probabilities: (B, C).
        targets: (B,) true classes.
        maps: (B, h, w) raw maps of the true class; zeros of a network that has none.
    """

    samples: list[Sample]
    sizes: list[ImageSize]
    first: int
    output: ArrayOutput
    probabilities: Floats
    targets: NDArray[np.int64]
    maps: Floats

    def true_boxes(self) -> list[tuple[Box, ...]]:
        """The boxes of the true class of each image, in original pixels."""
        return [sample.boxes_of(sample.labels[0]) for sample in self.samples]

    def places(self, header: ModelHeader) -> Places:
        """The maps of the true class beside the true boxes, where there are boxes."""
        images = range(self.first, self.first + len(self.samples))
        # A network without maps points nowhere, which is not to miss.
        none: list[tuple[Box, ...]] = [()] * len(self.samples)
        return find_places(
            self.maps,
            none if self.output.maps is None else self.true_boxes(),
            self.sizes,
            header.preprocessing.size,
            self.targets.tolist(),
            images,
            header.box_rule,
        )

    def losses(self) -> Floats:
        """(B,) cross-entropy of the truth, in nats."""
        of_truth = np.take_along_axis(self.probabilities, self.targets[:, None], axis=1)[:, 0]
        losses: Floats = -np.log(np.maximum(of_truth, 1e-12))
        return losses

    def answers(self, header: ModelHeader) -> list[Answer]:
        """The answers with their evidence and their sets, without the IoU."""
        promise = Promise(COVERAGE) if header.calibration.lac else None
        found = predictions(self.output, header, self.sizes, TOP, promise)
        rows = zip(self.samples, found, self.targets.tolist(), self.true_boxes(),
                   self.losses().tolist(), strict=True)  # fmt: skip
        return [
            Answer(
                placed(prediction, sample), sample.labels, boxes,
                prediction.labels[0].index == target, None, loss,
            )
            for sample, prediction, target, boxes, loss in rows
        ]  # fmt: skip


def answer_split(loop: Loop, samples: Sequence[Sample], skipped: Skipped) -> Iterator[Answered]:
    """Run the model over samples; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For a class the model does not know, and where no image can be read.
    """
    header = loop.engine.header
    check_known((sample.labels[0] for sample in samples), header)
    first = 0
    for batch, (output, truth) in loop.run(samples, ClassTargets(header.names), _ask, skipped):
        probabilities = label_scores(output.logits, header)
        yield Answered(
            batch.samples, batch.sizes, first, output, probabilities, batch.targets.numpy(), truth
        )
        first += len(batch.samples)


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


def class_places(loop: Loop, samples: Sequence[Sample]) -> Iterator[Places]:
    """The maps of the true classes beside the true boxes."""
    for answered in answer_split(loop, samples, []):
        yield answered.places(loop.engine.header)


def evaluate_split(
    loop: Loop,
    catalog: Catalog,
    split: str,
    *,
    threshold_from: str = "val",
    evidence: int | None = None,
    flagged: Sequence[str] = (),
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.evaluation` for the arguments."""
    header = loop.engine.header
    names, grid = header.names, header.preprocessing.size
    supervision = supervise(threshold_from, catalog, split)
    thresholds = Thresholds.of(supervision, class_places(loop, supervision.samples), len(names))
    boxes, scales = BoxTally(len(names), thresholds.levels), ScaleBoxTally(header.box_kind)
    masks, moves = MaskTally(catalog.root, grid), ShiftTally()
    kept, columns, skipped = KeptAnswers(evidence, flagged), Columns(), Skipped()
    for answered in answer_split(loop, catalog.split(split), skipped):
        count, targets = len(answered.samples), answered.targets
        places = answered.places(header)
        found = boxes.add(places)
        scales.add(answered.output.boxes, answered.true_boxes(), answered.sizes)
        if answered.output.maps is not None:
            masks.add(answered.maps, answered.samples, answered.sizes)
        needed = evidence != 0 or answered.output.boxes is not None
        answers = answered.answers(header) if needed else []
        moves.add(answer.prediction for answer in answers)
        columns.add(
            **_numbers(answered),
            **_doubts(answered, header.calibration),
            **group_columns(answered.probabilities, targets, header),
        )
        kept.add(
            answered.output.logits.argmax(axis=1) == targets,
            answered.losses(),
            sum(map(bool, answered.true_boxes())),
            image_means(found, places.images - answered.first, count),
            answers,
        )
    scores, calibration = _class_scores(columns, len(names), header.box_kind)
    scores += _doubt_scores(columns) + group_scores(columns)
    least = least_calibration_error(calibration)
    settings = {
        "images": f"{kept.count} of split {split}",
        "ece": f"{least:.4f} would be measured on so few images if every confidence were right",
    }
    level, ious = thresholds.levels[0], np.full(kept.count, np.nan)
    if boxes.count:
        box_scores, level, words = score_boxes(boxes, thresholds)
        ious = boxes.of_images(level, kept.count)
        hits = [(k, columns[f"top{k}"]) for k in (1, 5)]
        scores += box_scores + score_top_k(hits, ious)
        settings |= words
    scores += scales.scores() + masks.scores() + moves.scores()
    settings |= masks.settings()
    shown, tally = kept.result(ious, thresholds.column(level))
    return Evaluation(
        task=catalog.task,
        split=split,
        names=names,
        scores=scores,
        answers=shown,
        per_class=metrics.per_class(columns["predicted"], columns["target"], names),
        confusion=metrics.confusion_matrix(columns["predicted"], columns["target"], len(names)),
        calibration=calibration,
        settings=settings,
        skipped=tuple(skipped),
        shifts=moves.shifts(),
        tally=tally,
    )


def _numbers(answered: Answered) -> dict[str, NDArray[np.generic]]:
    """What is kept of each image, (B,) or (B, S) for S scales."""
    probabilities, targets = answered.probabilities, answered.targets
    logits = answered.output.logits  # rank as answers do, where probabilities are rounded
    kept: dict[str, NDArray[np.generic]] = {
        "target": targets,
        "predicted": logits.argmax(axis=1),
        "confidence": probabilities.max(axis=1),
        "loss": answered.losses(),
        "top1": metrics.topk_hits(logits, targets, 1),
        "top5": metrics.topk_hits(logits, targets, 5),
    }
    if answered.output.scale_logits is not None:
        kept["scales"] = answered.output.scale_logits.argmax(axis=2) == targets[:, None]
    return kept


def _class_scores(
    columns: Columns, classes: int, kind: BoxKind
) -> tuple[tuple[Score, ...], tuple[tuple[float, float, int], ...]]:
    """Scores of the answers, and the rows of their calibration."""
    right, predicted, target = columns["top1"], columns["predicted"], columns["target"]
    calibration = confidence_bins(columns["confidence"], predicted == target)
    better = {
        "top1": float(right.mean()),
        "top5": float(columns["top5"].mean()),
        "macro_f1": metrics.macro_f1(predicted, target, classes),
    }
    interval = metrics.bootstrap_interval(right.astype(bool))
    scores = [
        Score(name, value, interval if name == "top1" else None, higher_is_better=True)
        for name, value in better.items()
    ]
    scores.append(Score("ece", calibration_error(calibration), higher_is_better=False))
    nll = float(columns["loss"].mean())
    scores.append(Score("nll", nll, higher_is_better=False, is_share=False))
    by_scale = columns["scales"].mean(axis=0).tolist() if "scales" in columns else []
    scores += [
        Score(f"top1 {name}", value, higher_is_better=True)
        for name, value in zip(look_names(kind, len(by_scale)), by_scale, strict=True)
    ]
    return tuple(scores), calibration


def _doubts(answered: Answered, calibration: Calibration) -> dict[str, NDArray[np.generic]]:
    """Of each image (B,): its candidates, whether the truth is one, and whether it is refused.

    Refused it is for one of two reasons, each of which has a column where the model knows it.
    """
    if not calibration.lac:
        return {}
    sets = candidate_sets(calibration, answered.probabilities, COVERAGE)
    reasons = refusals(calibration, answered.output.logits, answered.output.distances)
    kept: dict[str, NDArray[np.generic]] = {
        "covered": np.take_along_axis(sets, answered.targets[:, None], axis=1)[:, 0],
        "candidates": sets.sum(axis=1),
        "refused": np.array([reason is not None for reason in reasons]),
    }
    if calibration.distance is not None and answered.output.distances is not None:
        kept["refused unlike"] = np.array([reason == FAR for reason in reasons])
    if calibration.evidence is not None:
        kept["refused look-alike"] = np.array([reason == LOOK_ALIKE for reason in reasons])
    return kept


def _doubt_scores(columns: Columns) -> tuple[Score, ...]:
    """Whether the sets keep their promise, how large they are, and how many images are refused."""
    if "covered" not in columns:
        return ()
    covered, candidates = (float(columns[name].mean()) for name in ("covered", "candidates"))
    refused = [
        Score(name, float(columns[name].mean()), higher_is_better=False)
        for name in ("refused", "refused unlike", "refused look-alike")
        if name in columns
    ]
    return (
        # What was promised is best; more comes of larger sets.
        Score(f"coverage@{COVERAGE:.0%}", covered, higher_is_better=None),
        Score(f"set size@{COVERAGE:.0%}", candidates, higher_is_better=False, is_share=False),
        *refused,
    )
