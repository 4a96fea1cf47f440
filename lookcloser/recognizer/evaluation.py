"""Scoring a model on a split, with the evidence of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lookcloser import metrics
from lookcloser.core.hooks import evaluating
from lookcloser.core.types import Answer, Box, Evaluation, Label, Output, Prediction
from lookcloser.data import Catalog, Sample
from lookcloser.data.dataset import Batch
from lookcloser.data.targets import ClassTargets
from lookcloser.models import Model, Package
from lookcloser.recognizer.answering import image_doubts, label_scores
from lookcloser.recognizer.evidence import (
    class_labels,
    map_regions,
    part_regions,
    scale_regions,
)
from lookcloser.recognizer.localisation import Places, find_places, score_localisation
from lookcloser.recognizer.masks import find_masks, score_masks
from lookcloser.recognizer.reading import check_known, read_batches
from lookcloser.recognizer.supervision import supervise

TOP = 5
COVERAGE = 0.95  # of the sets that an evaluation scores
_KEPT = ("boxes", "scale_logits", "part_maps", "distances")  # of an Output, for every image


@dataclass(frozen=True)
class Answered:
    """What the model said of the readable images of a split, row by row.

    Attributes:
        samples: The images.
        sizes: (width, height) of each.
        probabilities: (N, C).
        targets: (N,) true classes.
        maps: (N, 2, h, w) raw maps of the best and of the true class.
        doubts: Of each what the model says it does not know, as fields of a `Prediction`.
        evidence: What there is beside: boxes, logits per scale, maps per attention.
        skipped: (name, reason) of the other images.
    """

    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    probabilities: Tensor
    targets: Tensor
    maps: Tensor
    doubts: Sequence[Mapping[str, Any]]
    evidence: Output
    skipped: tuple[tuple[str, str], ...]

    def true_boxes(self) -> list[tuple[Box, ...]]:
        """The boxes of the true class of each image, in original pixels."""
        return [sample.boxes_of(sample.labels[0]) for sample in self.samples]

    def places(self, grid: tuple[int, int]) -> Places:
        """The maps of the true class beside the true boxes, where there are boxes."""
        return find_places(
            self.maps[:, 1].numpy(), self.true_boxes(), self.sizes, grid, self.targets.tolist()
        )


def answer_split(
    model: Model,
    package: Package,
    samples: Sequence[Sample],
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 0,
) -> Answered:
    """Run the model over samples; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For a class the model does not know, and where no image can be read.
    """
    check_known((sample.labels[0] for sample in samples), package)
    skipped: list[tuple[str, str]] = []
    batches = read_batches(
        samples,
        ClassTargets(package.names),
        package,
        skipped,
        batch_size=batch_size,
        workers=workers,
    )
    indices: list[int] = []
    sizes: list[tuple[int, int]] = []
    targets, maps, outputs = [], [], []
    with torch.inference_mode(), evaluating(model):
        for batch in batches:  # whose images must not outlive it: a split may be large
            own_maps, output = _answer_batch(model, batch, device)
            indices += batch.indices.tolist()
            sizes += batch.sizes
            targets.append(batch.targets)
            maps.append(own_maps)
            outputs.append(output)
    evidence = _joined(outputs)
    return Answered(
        samples=tuple(samples[index] for index in indices),
        sizes=tuple(sizes),
        probabilities=label_scores(evidence.logits, package),
        doubts=image_doubts(evidence, label_scores(evidence.logits, package), package),
        targets=torch.cat(targets),
        maps=torch.cat(maps),
        evidence=evidence,
        skipped=tuple(skipped),
    )


def _answer_batch(model: Model, batch: Batch, device: torch.device) -> tuple[Tensor, Output]:
    """The raw maps (B, 2, h, w) of the best and of the true class, and what else there is."""
    output: Output = model(batch.images.to(device))
    given = {name: getattr(output, name) for name in _KEPT}
    kept = {name: value.float().cpu() for name, value in given.items() if value is not None}
    logits = output.logits.float().cpu()
    evidence = Output(logits=logits, **kept)
    if output.maps is None:
        return torch.zeros(len(logits), 2, 1, 1), evidence
    wanted = torch.stack([logits.argmax(dim=1), batch.targets], dim=1)
    rows = torch.arange(len(wanted))[:, None]
    return output.maps.float().cpu()[rows, wanted], evidence


def _joined(outputs: Sequence[Output]) -> Output:
    """Batches one after the other, in every field that they have."""
    present = [name for name in _KEPT if getattr(outputs[0], name) is not None]
    return Output(
        logits=torch.cat([output.logits for output in outputs]),
        **{name: torch.cat([getattr(output, name) for output in outputs]) for name in present},
    )


def evaluate_split(
    model: Model,
    package: Package,
    catalog: Catalog,
    split: str,
    *,
    device: torch.device,
    threshold_from: str = "val",
    batch_size: int = 32,
    workers: int = 0,
) -> Evaluation:
    """Everything measured on one split; see `Recognizer.assess` for the arguments."""
    run = partial(
        answer_split, model, package, device=device, batch_size=batch_size, workers=workers
    )
    supervision = supervise(threshold_from, catalog, split)
    answered = run(catalog.split(split))
    scores, intervals = _classification_scores(answered)
    scores |= _doubt_scores(answered, package)
    settings = {"images": f"{len(answered.samples)} of split {split}"}
    ious: dict[int, float] = {}
    grid = package.preprocessing.size
    places = answered.places(grid)
    if places.rows:
        others = run(supervision.samples).places(grid) if supervision.samples else None
        found = score_localisation(places, others, supervision)
        rows = list(places.rows)
        asked = answered.probabilities[rows].numpy(), answered.targets[rows].numpy(), found.ious
        scores |= found.scores
        scores |= {f"top{k}_loc": metrics.top_k_localisation(*asked, k=k) for k in (1, 5)}
        intervals |= found.intervals
        ious = dict(zip(rows, found.ious.tolist(), strict=True))
        settings |= found.settings
    masks = find_masks(catalog.root, answered.samples)
    if masks:
        scores |= score_masks(answered.maps[:, 1].numpy(), masks, answered.sizes, grid)
        settings["masks"] = f"{len(masks)}, of the true class, for scoring only"
    predicted = answered.probabilities.argmax(dim=1).numpy()
    targets = answered.targets.numpy()
    return Evaluation(
        task=catalog.task,
        split=split,
        names=package.names,
        metrics=scores,
        answers=tuple(_answers(answered, package, ious)),
        intervals=intervals,
        per_class=metrics.per_class(predicted, targets, package.names),
        confusion=metrics.confusion_matrix(predicted, targets, len(package.names)),
        calibration=metrics.reliability(answered.probabilities.numpy(), targets),
        settings=settings,
        skipped=answered.skipped,
    )


def class_places(
    model: Model, package: Package, samples: Sequence[Sample], device: torch.device
) -> Places:
    """The maps of the true classes beside the true boxes."""
    return answer_split(model, package, samples, device=device).places(package.preprocessing.size)


def _classification_scores(
    answered: Answered,
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    probabilities, targets = answered.probabilities.numpy(), answered.targets.numpy()
    classes = probabilities.shape[1]
    right = metrics.topk_hits(probabilities, targets, 1)
    scores = {
        "top1": float(right.mean()),
        "top5": metrics.topk_accuracy(probabilities, targets, 5),
        "macro_f1": metrics.macro_f1(probabilities.argmax(axis=1), targets, classes),
        "ece": metrics.expected_calibration_error(probabilities, targets),
        "nll": float(_losses(answered).mean()),
    }
    if answered.evidence.scale_logits is not None:
        best = answered.evidence.scale_logits.argmax(dim=2)
        by_scale = (best == answered.targets[:, None]).float().mean(dim=0)
        scores |= {f"top1 scale {n}": value for n, value in enumerate(by_scale.tolist(), 1)}
    return scores, {"top1": metrics.bootstrap_interval(right)}


def _doubt_scores(answered: Answered, package: Package) -> dict[str, float]:
    """Whether the sets keep their promise, how large they are, and how many images are refused."""
    calibration = package.calibration
    if not calibration.lac:
        return {}
    probabilities, targets = answered.probabilities.numpy(), answered.targets.numpy()
    sets = calibration.sets(probabilities, COVERAGE)
    refused = [doubt["refusal"] is not None for doubt in answered.doubts]
    return {
        f"coverage@{COVERAGE:.0%}": float(sets[range(len(targets)), targets].mean()),
        f"set size@{COVERAGE:.0%}": float(sets.sum(axis=1).mean()),
        "refused": sum(refused) / len(refused),
    }


def _losses(answered: Answered) -> Tensor:
    """(N,) cross-entropy of the truth, in nats."""
    of_truth = answered.probabilities.gather(1, answered.targets[:, None])[:, 0]
    return -of_truth.clamp(min=1e-12).log()


def _answers(answered: Answered, package: Package, ious: dict[int, float]) -> Iterator[Answer]:
    """Each image with the regions of its best and, where that is another, of its true class."""
    losses, boxes = _losses(answered), answered.true_boxes()
    for row, sample in enumerate(answered.samples):
        probabilities, size = answered.probabilities[row], answered.sizes[row]
        labels = class_labels(probabilities, package.names, TOP)
        truth = int(answered.targets[row])
        correct = labels[0].index == truth
        shown = [labels[0]]
        if not correct:
            shown.append(Label(package.names[truth], float(probabilities[truth]), truth))
        regions = map_regions(
            answered.maps[row, : len(shown)],
            shown,
            size,
            package.preprocessing.size,
            package.box_threshold,
        )
        regions += scale_regions(answered.evidence, row, labels[0], size)
        regions += part_regions(answered.evidence, row, labels[0])
        source = sample.source
        path, image = (source, None) if isinstance(source, Path) else (None, source)
        given = {"image": image, **answered.doubts[row]}
        prediction = Prediction("classification", labels, regions, size, path, **given)
        yield Answer(
            prediction, sample.labels, boxes[row], correct, ious.get(row), float(losses[row])
        )
