"""What a model says of the label sets of a split, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lookcloser.core.header import ModelHeader, check_known
from lookcloser.core.types import Answer
from lookcloser.data import Sample
from lookcloser.data.targets import TagTargets
from lookcloser.evaluation.answers import placed
from lookcloser.evaluation.localization.map_boxes import Places, find_places
from lookcloser.evaluation.loop import Loop
from lookcloser.inference.engine import TorchEngine, as_arrays
from lookcloser.inference.split_loop import Skipped, SplitBatch
from lookcloser.losses import label_sets, ordered_paths
from lookcloser.models import Model
from lookcloser.runtime import ArrayOutput, predictions

TOP = 5  # classes of a ranking that get a map; a set gives one to each of its labels

Sets = NDArray[np.bool_]


class TagBatch(NamedTuple):
    """What the model said of the readable images of a batch.

    Attributes:
        batch: The images.
        first: The number of the first among the readable images of the split.
        output: The answers with their evidence.
        answered: (B, C) whether a label is in the answer.
        true_maps: The maps of the true labels of images with boxes.
    """

    batch: SplitBatch
    first: int
    output: ArrayOutput
    answered: Sets
    true_maps: TrueMaps | None

    @property
    def logits(self) -> Tensor:
        """(B, C)"""
        return torch.from_numpy(self.output.logits)

    @property
    def targets(self) -> Sets:
        """(B, C) whether a label is true."""
        truth: Sets = (self.batch.targets > 0).numpy()
        return truth

    def losses(self) -> NDArray[np.float32]:
        """(B,) binary cross-entropy of each image, summed over labels, in nats."""
        truth = torch.from_numpy(self.targets).to(self.logits)
        costs = F.binary_cross_entropy_with_logits(self.logits, truth, reduction="none")
        losses: NDArray[np.float32] = costs.sum(dim=1).numpy()
        return losses

    def answers(self, header: ModelHeader) -> list[Answer]:
        """The answers with their evidence, without the IoU."""
        found = predictions(self.output, header, self.batch.sizes, TOP)
        exact = (self.answered == self.targets).all(axis=1).tolist()
        rows = zip(self.batch.samples, found, exact, self.losses().tolist(), strict=True)
        return [
            Answer(
                placed(prediction, sample), sample.labels, tuple(box for _, box in sample.boxes),
                right, None, loss,
            )
            for sample, prediction, right, loss in rows
        ]  # fmt: skip

    def places(self, header: ModelHeader) -> Places:
        """The maps of the true labels that have boxes on the grid of the network's input."""
        batch, found, grid = self.batch, self.true_maps, header.preprocessing.size
        if found is None:
            empty = np.zeros((0, 1, 1), np.float32)
            return find_places(empty, [], [], grid, [], [], header.box_rule)
        rows, columns = (found.tokens >= 0).nonzero(as_tuple=True)
        labels = found.tokens[rows, columns].tolist()
        images = [found.rows[row] for row in rows.tolist()]
        named = zip(images, labels, strict=True)
        return find_places(
            found.maps[rows, columns].numpy(),
            [batch.samples[image].boxes_of(header.names[label]) for image, label in named],
            [batch.sizes[image] for image in images],
            grid,
            labels,
            [self.first + image for image in images],
            header.box_rule,
        )


class TrueMaps(NamedTuple):
    """The maps (R, K, h, w) of the true labels ``tokens`` (R, K) of some rows of a batch."""

    rows: list[int]
    tokens: Tensor
    maps: Tensor


@dataclass(frozen=True)
class Tagged:
    """The numbers of the readable images of a split, row by row.

    Attributes:
        logits: (N, C).
        answered: (N, C) whether a label is in the answer.
        targets: (N, C) whether it is true.
    """

    logits: Tensor
    answered: Sets
    targets: Sets


def tag_batches(loop: Loop, samples: Sequence[Sample], skipped: Skipped) -> Iterator[TagBatch]:
    """Run the model over samples; images that cannot be read are listed and left out.

    Raises:
        LookcloserError: For a label the model does not know, and where no image can be read.
    """
    header = loop.engine.header
    check_known((name for sample in samples for name in sample.labels), header)
    first = 0
    for batch, (output, true_maps) in loop.run(samples, TagTargets(header.names), _ask, skipped):
        assert output.tokens is not None  # of an answer
        answered = label_sets(torch.from_numpy(output.tokens), len(header.names)).numpy()
        yield TagBatch(batch, first, output, answered, true_maps)
        first += len(batch.samples)


def tag_split(engine: TorchEngine, samples: Sequence[Sample], *, batch_size: int = 32) -> Tagged:
    """The numbers of `tag_batches`, all together."""
    parts = [
        (said.logits, said.answered, said.targets)
        for said in tag_batches(Loop(engine, batch_size), samples, [])
    ]
    logits, answered, targets = zip(*parts, strict=True)
    return Tagged(torch.cat(logits), np.concatenate(answered), np.concatenate(targets))


def tag_places(loop: Loop, samples: Sequence[Sample]) -> Iterator[Places]:
    """The maps of the true labels beside their true boxes."""
    for said in tag_batches(loop, samples, []):
        yield said.places(loop.engine.header)


def _ask(model: Model, batch: SplitBatch) -> tuple[ArrayOutput, TrueMaps | None]:
    """The answers, and the maps of the true labels of images with boxes: one more forward pass."""
    output = as_arrays(model.answer(batch.images, TOP))
    rows = [row for row, sample in enumerate(batch.samples) if sample.boxes and sample.labels]
    if not rows:
        return output, None
    tokens = ordered_paths(batch.targets[rows], torch.zeros(batch.targets.shape[1]))
    maps = model(batch.images[rows], targets=tokens.clamp(min=0).to(batch.images.device)).maps
    return output, None if maps is None else TrueMaps(rows, tokens, maps.float().cpu())
