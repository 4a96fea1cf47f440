"""What a model says of the label sets of a split, with the evidence of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookcloser.core.hooks import evaluating
from lookcloser.core.types import Box, Prediction
from lookcloser.data import Sample
from lookcloser.data.dataset import Batch
from lookcloser.data.targets import TagTargets
from lookcloser.losses import label_sets, ordered_paths
from lookcloser.models import Model, Package
from lookcloser.recognizer.answering import predictions
from lookcloser.recognizer.localisation import Places, find_places
from lookcloser.recognizer.reading import check_known, read_batches

TOP = 5  # classes of a ranking that get a map; a set gives one to each of its labels

Sets = NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """The raw map (h, w) of one true label of an image, beside its true boxes."""

    row: int
    label: int
    map: Tensor
    boxes: tuple[Box, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Tagged:
    """What the model said of the readable images of a split, row by row.

    Attributes:
        samples: The images.
        predictions: The answers with their evidence.
        logits: (N, C).
        answered: (N, C) whether a label is in the answer.
        targets: (N, C) whether it is true.
        places: Of each true label with boxes.
        skipped: (name, reason) of the other images.
        certified: (N,) of which images the answer is proved the most probable; empty where the
            model's search proves nothing.
    """

    samples: tuple[Sample, ...]
    predictions: tuple[Prediction, ...]
    logits: Tensor
    answered: Sets
    targets: Sets
    places: tuple[Place, ...]
    skipped: tuple[tuple[str, str], ...]
    certified: tuple[bool, ...] = ()

    def grid_places(self, grid: tuple[int, int]) -> Places:
        """The maps of the true labels on the grid of the network's input, a row for each."""
        maps = [place.map.numpy() for place in self.places]
        stacked = np.stack(maps) if maps else np.zeros((0, 1, 1), np.float32)
        boxes = [place.boxes for place in self.places]
        return find_places(
            stacked,
            boxes,
            [place.size for place in self.places],
            grid,
            classes=[place.label for place in self.places],
            images=[place.row for place in self.places],
        )


def tag_split(
    model: Model,
    package: Package,
    samples: Sequence[Sample],
    *,
    device: torch.device,
    batch_size: int = 32,
    workers: int = 0,
) -> Tagged:
    """Run the model over samples; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For a label the model does not know, and where no image can be read.
    """
    check_known((name for sample in samples for name in sample.labels), package)
    skipped: list[tuple[str, str]] = []
    targets = TagTargets(package.names)
    batches = read_batches(
        samples, targets, package, skipped, batch_size=batch_size, workers=workers
    )
    read: list[Sample] = []
    answers: list[Prediction] = []
    places: list[Place] = []
    certified: list[bool] = []
    logits, answered, truth = [], [], []
    with torch.inference_mode(), evaluating(model), model.session():
        for batch in batches:
            own = [samples[index] for index in batch.indices.tolist()]
            images = batch.images.to(device)
            output = model.answer(images, TOP)
            assert output.tokens is not None  # of an answer
            found = predictions(output, package, batch.sizes, TOP)
            answers += [_placed(*pair) for pair in zip(found, own, strict=True)]
            places += _places(model, batch, images, own, package, len(read))
            read += own
            logits.append(output.logits.float().cpu())
            answered.append(label_sets(output.tokens, len(package.names)).cpu())
            truth.append(batch.targets > 0)
            if output.certified is not None:
                certified += output.certified.tolist()
    return Tagged(
        samples=tuple(read),
        predictions=tuple(answers),
        logits=torch.cat(logits),
        answered=torch.cat(answered).numpy(),
        targets=torch.cat(truth).numpy(),
        places=tuple(places),
        skipped=tuple(skipped),
        certified=tuple(certified),
    )


def tag_places(
    model: Model, package: Package, samples: Sequence[Sample], device: torch.device
) -> Places:
    """The maps of the true labels beside their true boxes."""
    tagged = tag_split(model, package, samples, device=device)
    return tagged.grid_places(package.preprocessing.size)


def _placed(prediction: Prediction, sample: Sample) -> Prediction:
    """The prediction with its picture."""
    if isinstance(sample.source, Path):
        return replace(prediction, path=sample.source)
    return replace(prediction, image=sample.source)


def _places(
    model: Model,
    batch: Batch,
    images: Tensor,
    samples: Sequence[Sample],
    package: Package,
    first_row: int,
) -> Iterator[Place]:
    """Of the true labels with boxes in a batch, one more forward pass giving their maps."""
    rows = [row for row, sample in enumerate(samples) if sample.boxes and sample.labels]
    if not rows:
        return
    tokens = ordered_paths(batch.targets[rows], torch.zeros(len(package.names)))
    maps = model(images[rows], targets=tokens.clamp(min=0).to(images.device)).maps
    if maps is None:
        return
    for row, labels, own in zip(rows, tokens.tolist(), maps.float().cpu(), strict=True):
        for label, heat in zip(labels, own, strict=True):
            boxes = samples[row].boxes_of(package.names[label]) if label >= 0 else ()
            if boxes:
                yield Place(first_row + row, label, heat, boxes, batch.sizes[row])
