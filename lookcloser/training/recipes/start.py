"""The head that a fine-tuning begins with: solved, so that the first steps are good ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lookcloser.closed_form import Head, Memory
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.data.catalog import Catalog
from lookcloser.models import Model
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.models.solved import learnable
from lookcloser.models.transfer import is_whole
from lookcloser.training.callbacks.checkpoints import AtomicCheckpointIO
from lookcloser.training.options import TrainOptions
from lookcloser.training.parallel import processes
from lookcloser.training.recipes.closed_form import rooted, solve
from lookcloser.training.recipes.features import collect_features
from lookcloser.training.tasks.module import ROOTED, SOLVED

# Of the rate of a head with random weights: a solved one is to be kept, not found.
HEAD_SHARE = 1 / 3
# Of the trained weights in those that are kept: the first ones answer well, too.
BLEND = 0.5


def with_solved_head(
    model: Model, header: ModelHeader, catalog: Catalog, options: TrainOptions
) -> tuple[Model, ModelHeader]:
    """A model with the head of the closed form of its training images, at its temperature.

    Val is not looked at. A model whose head was trained before, whose backbone has random weights,
    or whose answer is not one head's stays as it is, and so does one from whose images nothing can
    be solved.

    Args:
        model: With its first weights.
        header: Of the model.
        catalog: The data.
        options: How to train.
    """
    if not may_be_solved(model, header, options):
        return model, header
    own, own_header = _to_be_solved(model, header)
    if torch.cuda.is_available():
        own = own.to(torch.device("cuda", processes.local_rank()))
    samples = sorted(catalog.split("train"), key=lambda sample: sample.name)
    try:
        features = collect_features(
            own, samples, header.names, header.task, header.preprocessing, workers=options.workers
        )
        memory = Memory.of(features.values, features.labels)
        solution = solve(memory, header.task, balanced=options.balance != "none")
    except LookcloserError:  # such as a class that only val has
        return model.cpu().train(), header
    smoothing = options.label_smoothing if header.task == "classification" else None
    fill_to_learn(own.head, solution, features.values, smoothing)
    return _learning(own.cpu(), own_header)


def fill_to_learn(
    head: nn.Linear, solution: Head, vectors: NDArray[np.float32], smoothing: float | None = 0.0
) -> None:
    """Put a solution into a head that goes on learning, at a temperature that lets it.

    Args:
        head: To fill, on any device.
        solution: In closed form.
        vectors: (N, D) that it was solved from.
        smoothing: As `learnable` has it; None for tags, each of which is decided by itself.
    """
    weight, bias = torch.from_numpy(solution.weight), torch.from_numpy(solution.bias)
    logits = torch.from_numpy(vectors).double() @ weight.T + bias
    temperature = solution.calibration.temperature
    if smoothing is not None:
        temperature = learnable(logits, temperature, smoothing)
    with torch.no_grad():
        head.weight.copy_(weight / temperature)
        head.bias.copy_(bias / temperature)


def may_be_solved(model: Model, header: ModelHeader, options: TrainOptions) -> bool:
    """Whether a fine-tuning of this model begins with a solved head."""
    return (
        isinstance(model, LooksTwice)
        and options.weights != "none"
        and options.strategy != "fsdp"  # for networks that one device cannot hold
        and not is_whole(str(header.provenance["weights"]))
    )


def as_before(model: Model, header: ModelHeader, checkpoint: Path) -> tuple[Model, ModelHeader]:
    """The network of a checkpoint, whose head may read rooted features; its weights come later."""
    state = AtomicCheckpointIO().load_checkpoint(checkpoint)
    # Older ones say only whether the head reads rooted features, as one taken from a run may, too.
    if not state.get(SOLVED, state.get(ROOTED)):
        return model, header
    return _learning(*_to_be_solved(model, header))


def _to_be_solved(model: Model, header: ModelHeader) -> tuple[LooksTwice, ModelHeader]:
    """The model in evaluation, its features rooted where it can."""
    if isinstance(model, CAM):
        return rooted(model, header)
    assert isinstance(model, LooksTwice)  # no other has such a head
    return model.eval(), header


def _learning(model: LooksTwice, header: ModelHeader) -> tuple[Model, ModelHeader]:
    model.solved, model.head_share, model.blend = True, HEAD_SHARE, BLEND
    provenance = {**header.provenance, "head": "began in closed form"}
    return model.train(), replace(header, provenance=provenance)
