"""What a model says of the label sets of a split, with the evidence of every answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lookcloser.core.header import ModelHeader, check_known
from lookcloser.core.types import Box, Prediction
from lookcloser.data import Sample
from lookcloser.data.targets import TagTargets
from lookcloser.evaluation.answers import placed
from lookcloser.evaluation.localization import Places, find_places
from lookcloser.inference.engine import TorchEngine, as_arrays
from lookcloser.inference.split_loop import Skipped, SplitBatch, run_split
from lookcloser.losses import label_sets, ordered_paths
from lookcloser.models import Model
from lookcloser.runtime import ArrayOutput, predictions

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
    engine: TorchEngine,
    samples: Sequence[Sample],
    *,
    batch_size: int = 32,
    workers: int = 0,
) -> Tagged:
    """Run the model over samples; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For a label the model does not know, and where no image can be read.
    """
    header = engine.header
    check_known((name for sample in samples for name in sample.labels), header)
    skipped: Skipped = []
    read: list[Sample] = []
    answers: list[Prediction] = []
    places: list[Place] = []
    certified: list[bool] = []
    logits, answered, truth = [], [], []
    for batch, (output, true_maps) in run_split(
        engine,
        samples,
        TagTargets(header.names),
        partial(_ask, engine.model),
        skipped,
        batch_size=batch_size,
        workers=workers,
    ):
        found = predictions(output, header, batch.sizes, TOP)
        answers += [placed(*pair) for pair in zip(found, batch.samples, strict=True)]
        places += _places(batch, true_maps, header, len(read))
        read += batch.samples
        logits.append(torch.from_numpy(output.logits))
        assert output.tokens is not None  # of an answer
        answered.append(label_sets(torch.from_numpy(output.tokens), len(header.names)))
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


def tag_places(engine: TorchEngine, samples: Sequence[Sample]) -> Places:
    """The maps of the true labels beside their true boxes."""
    return tag_split(engine, samples).grid_places(engine.header.preprocessing.size)


class _TrueMaps(NamedTuple):
    """The maps (R, K, h, w) of the true labels ``tokens`` (R, K) of some rows of a batch."""

    rows: list[int]
    tokens: Tensor
    maps: Tensor


def _ask(model: Model, batch: SplitBatch) -> tuple[ArrayOutput, _TrueMaps | None]:
    """The answers, and the maps of the true labels of images with boxes: one more forward pass."""
    output = as_arrays(model.answer(batch.images, TOP))
    rows = [row for row, sample in enumerate(batch.samples) if sample.boxes and sample.labels]
    if not rows:
        return output, None
    tokens = ordered_paths(batch.targets[rows], torch.zeros(batch.targets.shape[1]))
    maps = model(batch.images[rows], targets=tokens.clamp(min=0).to(batch.images.device)).maps
    return output, None if maps is None else _TrueMaps(rows, tokens, maps.float().cpu())


def _places(
    batch: SplitBatch, found: _TrueMaps | None, header: ModelHeader, first_row: int
) -> Iterator[Place]:
    """Of the true labels with boxes in a batch."""
    if found is None:
        return
    for row, labels, own in zip(found.rows, found.tokens.tolist(), found.maps, strict=True):
        for label, heat in zip(labels, own, strict=True):
            boxes = batch.samples[row].boxes_of(header.names[label]) if label >= 0 else ()
            if boxes:
                yield Place(first_row + row, label, heat, boxes, batch.sizes[row])
