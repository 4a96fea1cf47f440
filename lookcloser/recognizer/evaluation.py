"""Scoring a model on a split, with the evidence of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lookcloser import metrics
from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating
from lookcloser.core.types import Answer, Box, Evaluation, Label, Prediction
from lookcloser.data import Catalog, Sample
from lookcloser.data.dataset import Batch, EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import ClassTargets
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import Model, Package
from lookcloser.recognizer.evidence import class_labels, map_regions
from lookcloser.recognizer.localisation import (
    SCORED_IOU,
    Places,
    best_thresholds,
    find_places,
    score_localisation,
)

TOP = 5


@dataclass(frozen=True)
class Answered:
    """What the model said of the readable images of a split, row by row.

    Attributes:
        samples: The images.
        sizes: (width, height) of each.
        probabilities: (N, C).
        targets: (N,) true classes.
        maps: (N, 2, h, w) raw maps of the best and of the true class.
        skipped: (name, reason) of the other images.
    """

    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    probabilities: Tensor
    targets: Tensor
    maps: Tensor
    skipped: tuple[tuple[str, str], ...]

    def true_boxes(self) -> list[tuple[Box, ...]]:
        """The boxes of the true class of each image, in original pixels."""
        return [
            tuple(box for name, box in sample.boxes if name is None or name == sample.labels[0])
            for sample in self.samples
        ]

    def places(self, grid: tuple[int, int]) -> Places:
        """The maps of the true class beside the true boxes, where there are boxes."""
        return find_places(self.maps[:, 1].numpy(), self.true_boxes(), self.sizes, grid)


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
    unknown = sorted({sample.labels[0] for sample in samples} - set(package.names))
    if unknown:
        raise LookcloserError(
            f"{unknown[0]}: a class of the data that the model does not know"
            + (f" ({len(unknown)} such)" if len(unknown) > 1 else ""),
            fix="Evaluate on data with the classes of the training",
        )
    dataset = ImageDataset(
        samples, ClassTargets(package.names), evaluation_transform(package.preprocessing)
    )
    order = EpochSampler(len(dataset), shuffle=False)
    loader = image_loader(dataset, order, batch_size=batch_size, workers=workers, keep_last=True)
    rows: list[tuple[Batch, Tensor, Tensor]] = []
    skipped: list[tuple[str, str]] = []
    with torch.inference_mode(), evaluating(model):
        for batch in loader:
            skipped.extend(batch.skipped)
            if len(batch.targets):
                rows.append((batch, *_answer_batch(model, batch, device)))
    if not rows:
        raise LookcloserError(
            f"none of the {len(samples)} images could be read, e.g. {skipped[0][1]}",
            fix="`lookcloser data check DATA` lists what is broken",
        )
    return Answered(
        samples=tuple(samples[index] for batch, _, _ in rows for index in batch.indices.tolist()),
        sizes=tuple(size for batch, _, _ in rows for size in batch.sizes),
        probabilities=torch.cat([probabilities for _, probabilities, _ in rows]),
        targets=torch.cat([batch.targets for batch, _, _ in rows]),
        maps=torch.cat([maps for _, _, maps in rows]),
        skipped=tuple(skipped),
    )


def _answer_batch(model: Model, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Probabilities (B, C) and the raw maps (B, 2, h, w) of the best and of the true class."""
    output = model(batch.images.to(device))
    probabilities = output.logits.float().softmax(dim=1).cpu()
    if output.maps is None:
        return probabilities, torch.zeros(len(probabilities), 2, 1, 1)
    wanted = torch.stack([probabilities.argmax(dim=1), batch.targets], dim=1)
    rows = torch.arange(len(wanted))[:, None]
    return probabilities, output.maps.float().cpu()[rows, wanted]


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
    answered = run(catalog.split(split))
    scores, intervals = _classification_scores(answered)
    settings = {"images": f"{len(answered.samples)} of split {split}"}
    ious: dict[int, float] = {}
    grid = package.preprocessing.size
    places = answered.places(grid)
    if places.rows:
        own = threshold_from == "split" or split == "val" or "val" not in catalog.splits
        others = places if own else run(catalog.split("val")).places(grid)
        chosen_on = others if others.rows else places
        rows = list(places.rows)
        found = score_localisation(
            places, chosen_on, answered.probabilities[rows].numpy(), answered.targets[rows].numpy()
        )
        scores |= found.scores
        intervals |= found.intervals
        ious = dict(zip(rows, found.ious.tolist(), strict=True))
        optimistic = f"the scored split {split} itself (optimistic)"
        place = optimistic if chosen_on is places else "the separate split val"
        settings |= {"thresholds chosen on": place, **found.settings}
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


def choose_box_threshold(
    model: Model, package: Package, catalog: Catalog, device: torch.device
) -> float | None:
    """The cut of the maps that gives the best boxes on val; None without boxes there."""
    samples = catalog.split("val") if "val" in catalog.splits else ()
    if not any(sample.boxes for sample in samples):
        return None
    places = answer_split(model, package, samples, device=device).places(package.preprocessing.size)
    return best_thresholds(places)[SCORED_IOU] if places.rows else None


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
    return scores, {"top1": metrics.bootstrap_interval(right)}


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
        source = sample.source
        path, image = (source, None) if isinstance(source, Path) else (None, source)
        prediction = Prediction("classification", labels, regions, size, path, image=image)
        yield Answer(
            prediction, sample.labels, boxes[row], correct, ious.get(row), float(losses[row])
        )
