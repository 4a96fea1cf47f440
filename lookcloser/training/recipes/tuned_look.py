"""A second look of a fine-tuned network: images of val choose how it looks and what counts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.closed_form import Head, Memory
from lookcloser.core.calibration import Calibration
from lookcloser.core.header import ModelHeader
from lookcloser.core.hooks import evaluating
from lookcloser.data.catalog import Sample
from lookcloser.models import build_model
from lookcloser.models.cam.closer import SecondLook, cut, place_weights, whole_boxes
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.models.solved import learnable
from lookcloser.training.recipes.closed_form import as_cam, solve
from lookcloser.training.recipes.closer import (
    climbed,
    crop_vectors,
    fill_look,
    fill_looks,
    look_arguments,
    source_of,
)
from lookcloser.training.recipes.finding import collect_windows, first_vectors
from lookcloser.training.recipes.looks import Looks, collect_looks
from lookcloser.uncertainty import OF_A_NETWORK, calibrate, cross_entropy, fit_temperature

WHOLE = tuple(tenths / 10 for tenths in range(10))  # shares of the whole image that are tried


class Choice(NamedTuple):
    """What images of val have chosen, for heads that are solved again from more images.

    Attributes:
        share: Side of a crop as a share of the image's.
        whole: Share of the whole image in the logits of an answer.
        own: Temperature of what the fine-tuned network says of the whole image.
        crops: Temperature of the head of the crops over the one of its training images.
        calibration: Of the answer.
        accuracy: The share of right answers; nan without val.
        loss: Their cross-entropy, in nats.
    """

    share: float
    whole: float = 0.0
    own: float = 1.0
    crops: float = 1.0
    calibration: Calibration = Calibration()
    accuracy: float = nan
    loss: float = nan


@dataclass(frozen=True, eq=False)
class TunedLook:
    """A second look of a fine-tuned network.

    Attributes:
        finder: Of windows, see `Closer`.
        second: Of crops, at the temperature of the training images.
        choice: By images of val.
    """

    finder: Head
    second: Head
    choice: Choice


class _Held(NamedTuple):
    """What is seen in images of val, before anything is chosen by them.

    Attributes:
        looks: At the resolution of the source.
        first: (N, C) logits of the fine-tuned head for the whole image, seen at a place's size.
    """

    looks: Looks
    first: NDArray[np.float32]


def solve_tuned(
    model: LooksTwice,
    header: ModelHeader,
    train: Sequence[Sample],
    val: Sequence[Sample],
    *,
    places: int,
    balanced: bool = False,
    choice: Choice | None = None,
) -> TunedLook:
    """Solve a second look from the features of a fine-tuned backbone.

    The training images are known to the network by heart. So they solve heads, and choose the size
    of a crop where there is nothing else; all numbers of doubt are of val.

    Args:
        model: Fine-tuned, looks once, on the device where it shall run.
        header: Of the model.
        train: Images of a classification; those that cannot be read are passed over.
        val: Such that have not trained the model; without any, what can be is chosen by train.
        places: How many are looked at again.
        balanced: As in `solve`.
        choice: What is chosen already.

    Raises:
        LookcloserError: For features from which nothing can be solved, and a disk that is full.
    """
    seeing, _ = as_cam(model.timm_backbone, header, header.preprocessing)
    view = header.preprocessing.size[0]
    with tempfile.TemporaryDirectory() as folder:
        looks = _looks(seeing, train, header, Path(folder) / "train")
        first = solve(
            Memory.of(first_vectors(looks), looks.labels), "classification", balanced=balanced
        )
        held = None
        if val and choice is None:
            seen = _looks(seeing, val, header, Path(folder) / "val")
            held = _Held(seen, _whole_logits(model, seen, view))

        def solved(share: float) -> TunedLook:
            vectors = crop_vectors(looks, first, share, view)
            memory = Memory.of(vectors, looks.labels)
            second = solve(memory, "classification", balanced=balanced)
            finder = collect_windows(looks, first, share).solved(looks)
            if choice is not None:
                return TunedLook(finder, second, choice)
            if held is None:
                return TunedLook(finder, second, Choice(share))
            look = SecondLook(seeing.backbone.width, looks.num_classes, places, share, view)
            fill_look(look, finder, second)
            return TunedLook(finder, second, _chosen(held, look, second))

        if choice is not None:
            return solved(choice.share)
        return climbed(solved, _score)


def with_tuned(
    model: LooksTwice, header: ModelHeader, found: TunedLook, places: int
) -> tuple[LooksTwice, ModelHeader]:
    """The fine-tuned model that looks twice, and its header.

    Args:
        model: Fine-tuned, looks once.
        header: Of the model.
        found: The second look.
        places: How many are looked at again.
    """
    choice = found.choice
    known = found.second.calibration
    second = replace(
        found.second, calibration=replace(known, temperature=known.temperature * choice.crops)
    )
    arguments = {
        **header.arguments,
        **look_arguments(header, second, places, choice.share),
        "whole": choice.whole,
        "whole_temperature": choice.own,
    }
    new = build_model(header.method, arguments)
    assert isinstance(new, LooksTwice)  # as the model is
    new.load_state_dict({**new.state_dict(), **model.state_dict()})
    fill_looks(new, found.finder, second)
    rated = {"val_acc": choice.accuracy, "val_loss": choice.loss}
    scores = rated if choice.calibration.images else {}
    seen = replace(source_of(header), arguments=arguments)
    device = next(model.parameters()).device
    return new.eval().to(device), replace(seen, scores=scores, calibration=choice.calibration)


def _chosen(held: _Held, look: SecondLook, second: Head) -> Choice:
    """The temperatures, and the share of the whole image, that say most of val."""
    classes = held.looks.classes
    present, vectors = _places(held.looks, look)
    crops = vectors @ (second.weight.T / second.calibration.temperature).astype(np.float32)
    crops += (second.bias / second.calibration.temperature).astype(np.float32)
    surest = crops[np.arange(len(crops)), present.argmax(axis=1)]
    heat, own = _temperature(surest, classes), _temperature(held.first, classes)
    weights = place_weights(torch.from_numpy(crops / heat), torch.from_numpy(present)).numpy()
    there = (weights[:, :, None] * crops / heat).sum(axis=1)
    best: tuple[float, float, NDArray[np.float32]] | None = None
    for whole in WHOLE:
        logits = (whole * held.first / own + (1 - whole) * there).astype(np.float32)
        loss = cross_entropy(logits / _temperature(logits, classes), classes)
        if best is None or loss < best[0]:
            best = loss, whole, logits
    assert best is not None  # there are shares
    loss, whole, logits = best
    rows, top = np.arange(len(crops)), weights.argmax(axis=1)
    assert second.metric is not None  # as of every discriminant
    raw = crops[rows, top] * second.calibration.temperature
    distances = second.metric.distances(vectors[rows, top], raw)
    temperature = fit_temperature(logits, classes, expected=OF_A_NETWORK)
    calibration = calibrate(logits, classes, temperature, distances)
    accuracy = float((logits.argmax(axis=1) == classes).mean())
    return Choice(look.share, whole, own, heat, calibration, accuracy, loss)


def _score(found: TunedLook) -> float:
    """By val, or by crops of training images that were left out."""
    choice = found.choice
    return -choice.loss if choice.calibration.images else -found.second.loss


def _temperature(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """At which the logits mean what they say; not next to 0 where all are right by far."""
    return learnable(torch.from_numpy(logits), fit_temperature(logits, classes))


def _places(looks: Looks, look: SecondLook) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The log-odds (N, K) of the best places of each image, and what is seen there (N, K, D)."""
    model = looks.model
    look = look.to(next(model.parameters()).device).eval()
    present, vectors = [], []
    with torch.inference_mode(), evaluating(model):
        for part in looks.parts():
            _, odds, found = look.crops(part.images, part.features, model.backbone)
            present.append(odds.float().cpu().numpy())
            means = found.mean(dim=(2, 3)).reshape(*odds.shape, -1)
            vectors.append(means.float().cpu().numpy())
    return np.concatenate(present), np.concatenate(vectors)


def _whole_logits(model: LooksTwice, looks: Looks, view: int) -> NDArray[np.float32]:
    """(N, C) of the fine-tuned head, as the model that looks twice sees whole images."""
    found = []
    with torch.inference_mode(), evaluating(model):
        for part in looks.parts():
            images = cut(part.images, whole_boxes(part.images), view)
            pooled = model.pooled(images.contiguous(memory_format=torch.channels_last))
            found.append(model.head(pooled).float().cpu().numpy())
    return np.concatenate(found)


def _looks(model: CAM, samples: Sequence[Sample], header: ModelHeader, folder: Path) -> Looks:
    folder.mkdir()
    return collect_looks(model, samples, header.names, source_of(header).preprocessing, folder)
