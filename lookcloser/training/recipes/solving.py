"""The closed form of a run, before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.closed_form import Head, Memory
from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.wording import named
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.read import SPLITS
from lookcloser.models.backbone import in_channels_last
from lookcloser.models.cam.model import CAM
from lookcloser.training.fit import prepare_model
from lookcloser.training.options import TrainOptions
from lookcloser.training.recipes.closed_form import rooted, solve, with_head
from lookcloser.training.recipes.features import Features, collect_features


@dataclass(frozen=True, eq=False)
class Solved:
    """A run's closed form, before it is written.

    Attributes:
        model: With the head of all images.
        header: Its header.
        features: Of all images.
        memory: What the head was solved from.
        validation: Accuracy on val of a head that has not seen it, and the number of its images.
        samples: What the head was solved from.
    """

    model: CAM
    header: ModelHeader
    features: Features
    memory: Memory
    validation: tuple[float, int]
    samples: Sequence[Sample]


def solved_run(catalog: Catalog, options: TrainOptions, *, with_val: bool) -> Solved:
    """Run the backbone over the data and solve the head of a run.

    Args:
        catalog: The data.
        options: How to learn.
        with_val: Whether the images of val are learned from, too.

    Raises:
        LookcloserError: As `prepare_model`, `collect_features` and `solve`.
    """
    task, names = catalog.task, catalog.names
    model, header = prepare_model(options, catalog)
    assert isinstance(model, CAM)  # as planned
    model, header = rooted(model, header)
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    if options.channels_last:
        model = in_channels_last(model)
    wanted = {"train", "val"} if "val" in catalog.splits else {"train"}
    samples = sorted((s for s in catalog.samples if s.split in wanted), key=lambda s: s.name)
    features = collect_features(
        model, samples, names, task, header.preprocessing, workers=options.workers
    )
    of_train = np.array([samples[row].split == "train" for row in features.rows])
    used = np.ones_like(of_train) if with_val else of_train
    _check_each_class(features.labels[used], names, task)
    memory = Memory.of(features.values[used], features.labels[used])
    balanced = options.balance != "none"
    head = solve(memory, task, balanced=balanced)
    validation = float("nan"), 0
    if options.recipe == "auto" and not of_train.all():
        part = Memory.of(features.values[of_train], features.labels[of_train])
        own = head if not with_val else solve(part, task, balanced=balanced)
        validation = _accuracy(own, features, ~of_train, task), int((~of_train).sum())
    # Whoever reads the data again must find no val that was learned from.
    splits = {**header.provenance[SPLITS], "val_share": 0.0}
    said = {"balanced": True} if balanced else {}
    header = replace(header, provenance={**header.provenance, SPLITS: splits, **said})
    model, header = with_head(model, header, memory, head, names)
    learned = [samples[row] for row in features.rows[used]]
    return Solved(model, header, features, memory, validation, learned)


def _accuracy(head: Head, features: Features, rows: NDArray[np.bool_], task: Task) -> float:
    """The share of right answers; of tags of right decisions."""
    logits, truth = features.values[rows] @ head.weight.T + head.bias, features.labels[rows]
    if task == "multilabel":
        return float(((logits > 0) == truth).mean())
    return float(truth[np.arange(len(truth)), logits.argmax(axis=1)].mean())


def _check_each_class(labels: NDArray[Any], names: Sequence[str], task: Task) -> None:
    """Raise where a class has images, none of which can be read; ``labels`` is (N, C)."""
    if TRAITS[task].labels == "one":
        read = labels.sum(axis=0)
        lost = [name for name, images in zip(names, read, strict=True) if images == 0]
        if lost:
            raise LookcloserError(
                f"no training image of {named(lost)} can be read",
                fix="`lookcloser data check DATA` lists what is broken",
            )
