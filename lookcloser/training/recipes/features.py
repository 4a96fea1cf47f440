"""The pooled features of images, once through a network in evaluation."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookcloser.core.calibration import Calibration
from lookcloser.core.choices import Task
from lookcloser.core.errors import LookcloserError
from lookcloser.core.hooks import evaluating
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.dataset import EpochSampler, ImageDataset, image_loader
from lookcloser.data.targets import ClassTargets, TagTargets
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import load_model_file
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.training.pace import looking
from lookcloser.uncertainty import OF_A_NETWORK, calibrate, fit_temperature

BATCH = 32
FEWEST = 20  # images of val by which two ways of learning, or of looking, are compared
# Fewer are read sooner than loading processes start.
_FEW = 4 * BATCH
# Images that a CPU looks at together: few enough for its caches, which takes half the time of 32.
_TOGETHER = 4


@dataclass(frozen=True, eq=False)
class Features:
    """What a network sees in images, row by row.

    Attributes:
        values: (N, D) float32, as the head reads them.
        labels: (N, C).
        rows: (N,) positions among the samples.
        skipped: Images that could not be read: name -> reason.
        seconds: That it took, for one image.
        side: The smaller side of the images, the middle one of all.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.bool_]
    rows: NDArray[np.int64]
    skipped: dict[str, str]
    seconds: float
    side: float


def collect_features(
    model: LooksTwice,
    samples: Sequence[Sample],
    names: Sequence[str],
    task: Task,
    preprocessing: Preprocessing,
    *,
    workers: int | None = None,
) -> Features:
    """Run the backbone over samples, without random transforms.

    Args:
        model: On the device where it shall run.
        samples: The images.
        names: Label names by index.
        task: "classification" or "multilabel".
        preprocessing: How images are made ready.
        workers: Loading processes; None: by the cores and the number of images.

    Raises:
        LookcloserError: If no image can be read.
    """
    targets = TagTargets(names) if task == "multilabel" else ClassTargets(names)
    dataset = ImageDataset(samples, targets, evaluation_transform(preprocessing))
    if workers is None:
        spare = (os.cpu_count() or 1) if torch.cuda.is_available() else (os.cpu_count() or 1) - 2
        workers = min(max(spare, 0), 8) if len(samples) > _FEW else 0
    order = EpochSampler(len(dataset), shuffle=False)
    values, labels, rows, sides, skipped = [], [], [], [], {}
    device = next(model.parameters()).device
    start = time.perf_counter()
    loader = image_loader(dataset, order, batch_size=BATCH, workers=workers, keep_last=True)
    with torch.inference_mode(), evaluating(model), looking(len(samples)) as tell:
        for number, batch in enumerate(loader, start=1):
            tell(min(number * BATCH, len(samples)))
            skipped.update(batch.skipped)
            if not len(batch.targets):
                continue
            values.append(pooled_alike(model, batch.images.to(device)))
            rows.append(batch.indices.numpy())
            sides += [min(size) for size in batch.sizes]
            given = batch.targets.numpy()
            one_hot = np.eye(len(names), dtype=np.bool_)
            labels.append(given > 0 if task == "multilabel" else one_hot[given])
    if not values:
        raise LookcloserError(
            f"None of the {len(samples)} images could be read, e.g. {next(iter(skipped.values()))}",
            fix="`lookcloser data check DATA` lists what is broken",
        )
    seconds = (time.perf_counter() - start) / len(samples)
    joined = np.concatenate(values), np.concatenate(labels), np.concatenate(rows)
    return Features(*joined, skipped, seconds, float(np.median(sides)))


def pooled_alike(model: LooksTwice, images: Tensor) -> NDArray[np.float32]:
    """(B, D) pooled features of images (B, 3, h, w), which do not depend on who is beside whom.

    Libraries choose how to compute by the size of a batch, and the last one would be another: what
    is added to a model would differ from what a training with everything sees. So all are of one
    size, filled up with black.
    """
    together = _TOGETHER if images.device.type == "cpu" else BATCH
    found = []
    for start in range(0, len(images), together):
        part = images[start : start + together]
        whole = part.new_zeros(together, *part.shape[1:])
        whole[: len(part)] = part
        pooled = model.pooled(whole.to(memory_format=torch.channels_last))
        found.append(pooled[: len(part)].float().cpu().numpy())
    return np.concatenate(found)


def doubt_of(model_file: Path, catalog: Catalog) -> Calibration:
    """The calibration of a classifier on val, which must not have trained it.

    Args:
        model_file: Of a `CAM` that looks once.
        catalog: With a val.
    """
    model, header = load_model_file(model_file)
    assert isinstance(model, CAM)  # as only such models have a closed form to be compared with
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    found = collect_features(
        model, catalog.split("val"), header.names, header.task, header.preprocessing
    )
    logits, targets = head_logits(model, found), found.labels.argmax(axis=1)
    return calibrate(logits, targets, fit_temperature(logits, targets, expected=OF_A_NETWORK))


def head_logits(model: LooksTwice, found: Features) -> NDArray[np.float32]:
    """(N, C) of a model that looks once, from what it has seen."""
    with torch.inference_mode():
        vectors = torch.from_numpy(found.values).to(model.head.weight.device)
        logits: NDArray[np.float32] = model.head(vectors).cpu().numpy()
    return logits
