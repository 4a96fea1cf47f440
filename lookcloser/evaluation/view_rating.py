"""How far each view of a model can be trusted: whether it points at what the answers depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lookcloser.core.choices import TRAITS
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import check_known
from lookcloser.core.hooks import evaluating
from lookcloser.core.sizes import Grid
from lookcloser.data import Catalog
from lookcloser.data.targets import ClassTargets, TagTargets, Targets
from lookcloser.explain.returned import logits_of
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.split_loop import Skipped, nothing_read, read_split
from lookcloser.inference.views import ScoresOf, check_task, check_views, look, scores_of
from lookcloser.metrics import SanityCheck, deletion, insertion, random_maps, road, sanity_check
from lookcloser.metrics.faithfulness import Predict
from lookcloser.metrics.imputation import Baseline
from lookcloser.metrics.thresholds import draw
from lookcloser.models import Model

Floats = NDArray[np.float64]

STEPS = 20  # of deletion and insertion
SHARES = (0.1, 0.3, 0.5, 0.7)  # of ROAD; filling large holes takes longer than asking the network
STAGES = 1  # of the sanity check: what is left when all weights are random needs no other
EMPTY: Baseline = "mean"
TARGETS: dict[str, Callable[[Sequence[str]], Targets]] = {
    "one": ClassTargets,
    "some": TagTargets,
}


class ViewScores(NamedTuple):
    """Means over some images, of a view or of random maps.

    Attributes:
        images: How many.
        deletion: Area under the score of the explained class while the pixels that the map calls
            most important are removed, in [0, 1]; lower is better.
        insertion: The same while they appear, most important first; higher is better.
        road: Half the mean distance between the scores without the least and without the most
            important pixels, imputed from their neighbors, in [-0.5, 0.5]; higher is better, 0 is
            chance.
        left: Absolute rank correlation with the maps of a copy whose weights are random, in [0, 1];
            lower is better. None for random maps, which ask no network.
        insensitive: Whether that is so much that the view does not depend on the weights; see
            `lookcloser.metrics.SanityCheck.insensitive`. None for random maps.
    """

    images: int
    deletion: float
    insertion: float
    road: float
    left: float | None = None
    insensitive: bool | None = None


class _Asked(NamedTuple):
    """Some images with the class that is explained for each.

    Attributes:
        images: (B, 3, H, W).
        targets: (B,)
        tokens: (B, K) the whole answers, or None.
    """

    images: Tensor
    targets: Tensor
    tokens: Tensor | None

    def singly(self) -> Iterator[_Asked]:
        """Each image by itself."""
        for row in range(len(self.images)):
            tokens = None if self.tokens is None else self.tokens[row : row + 1]
            yield _Asked(self.images[row : row + 1], self.targets[row : row + 1], tokens)

    def parts(self, model: Model) -> Iterator[tuple[nn.Module, slice]]:
        """What views look at, and which images for: of a sequence each image has its own path."""
        if self.tokens is None or model.following(self.tokens[0]) is model:
            yield model, slice(None)
            return
        for row, path in enumerate(self.tokens):
            yield model.following(path), slice(row, row + 1)

    def maps(
        self, model: Model, views: Sequence[str] | None, scores: ScoresOf
    ) -> dict[str, Tensor]:
        """(B, h, w) of each view; see `look`."""
        found = [
            look(network, self.images[rows], self.targets[rows, None], views, scores)
            for network, rows in self.parts(model)
        ]
        return {view: torch.cat([maps[view][:, 0].detach() for maps in found]) for view in found[0]}


def rate_split(
    engine: TorchEngine,
    catalog: Catalog,
    split: str,
    views: Sequence[str] | None,
    *,
    images: int,
    seed: int,
    batch_size: int,
) -> dict[str, ViewScores]:
    """Score views on images of a split; see `Recognizer.rate_views` for arguments and errors."""
    header, model = engine.header, engine.model
    check_task(header)
    check_views(views)
    if images < 1:
        raise UsageError(f"images = {images}", allowed="1 or more")
    every = catalog.split(split)
    samples = [every[row] for row in draw(len(every), images, seed)]
    check_known((name for sample in samples for name in sample.labels), header)
    targets = TARGETS[TRAITS[header.task].labels](header.names)
    skipped: Skipped = []
    own: dict[str, list[Floats]] = {}
    checks: dict[str, list[SanityCheck]] = {}
    baselines: dict[str, list[Floats]] = {}
    scores_by = scores_of(header)
    done = 0
    with evaluating(model):
        for batch in read_split(engine, samples, targets, skipped, batch_size=batch_size):
            asked = _ask(model, batch.images)
            found = asked.maps(model, views, scores_by)
            for view, maps in found.items():
                scores = _measure(model, scores_by, asked, maps, seed, batch_size)
                own.setdefault(view, []).append(scores)
                checks.setdefault(view, []).append(
                    _check(model, scores_by, asked, view, maps, seed)
                )
            # Coarse maps remove squares and fine ones single pixels, which does another harm.
            for grid in dict.fromkeys(Grid(*maps.shape[1:]) for maps in found.values()):
                rows = range(done, done + len(batch.images))
                noise = [random_maps(1, grid.image_size, seed + row) for row in rows]
                maps = torch.from_numpy(np.concatenate(noise))
                scores = _measure(model, scores_by, asked, maps, seed, batch_size)
                baselines.setdefault(f"random map {grid.columns} × {grid.rows}", []).append(scores)
            done += len(batch.images)
    if not own:
        raise nothing_read(samples, skipped)
    return {name: _mean(parts, checks.get(name)) for name, parts in (own | baselines).items()}


def _ask(model: Model, images: Tensor) -> _Asked:
    """The answers for images, each explained for its best class."""
    with torch.no_grad():
        output = model.answer(images, 1)
    return _Asked(images, output.logits.argmax(dim=1), output.tokens)


def _measure(
    model: Model, scores: ScoresOf, asked: _Asked, maps: Tensor, seed: int, batch_size: int
) -> Floats:
    """(3, B): deletion, insertion and ROAD of the explained classes, for maps (B, h, w)."""
    found = []
    for network, rows in asked.parts(model):
        predict = _probabilities(network, scores)
        given = asked.images[rows], maps[rows].float().cpu().numpy(), asked.targets[rows].cpu()
        curves = [
            score(
                predict, *given, baseline=EMPTY, steps=STEPS, seed=seed, batch_size=batch_size
            ).auc()
            for score in (deletion, insertion)
        ]
        removed = road(predict, *given, shares=SHARES, seed=seed, batch_size=batch_size)
        found.append([*curves, removed.score()])
    return np.concatenate(found, axis=1)


def _probabilities(network: nn.Module, scores: ScoresOf) -> Predict:
    def predict(images: Tensor) -> Tensor:
        # Of one class: maps of all of them would be thrown away.
        output = network(images, top=1) if isinstance(network, Model) else network(images)
        return scores(logits_of(output))

    return predict


def _check(
    model: Model, scores: ScoresOf, asked: _Asked, view: str, maps: Tensor, seed: int
) -> SanityCheck:
    """The sanity check of one view, whose ``maps`` of the model are there already."""

    def explain(network: Model, _images: Tensor) -> Tensor:
        if network is model:
            return maps
        # One by one, so that no image decides for others what random weights still see.
        found = [
            _map_at_random(network, scores, one, view, own)
            for one, own in zip(asked.singly(), maps, strict=True)
        ]
        return torch.stack(found)

    return sanity_check(explain, model, asked.images, stages=STAGES, seed=seed)


def _map_at_random(
    network: Model, scores: ScoresOf, asked: _Asked, view: str, own: Tensor
) -> Tensor:
    """The map of one image beside its ``own`` (h, w); zeros where this network has none like it."""
    try:
        (found,) = asked.maps(network, [view], scores)[view]
    except LookcloserError:  # it may see no image, or answer NaN
        return torch.zeros_like(own)
    # Where its layer has lost its say, an earlier one with another grid stands in for it.
    return found if found.shape == own.shape else torch.zeros_like(own)


def _mean(parts: Sequence[Floats], checks: Sequence[SanityCheck] | None) -> ViewScores:
    """Over the images of all batches; ``parts`` are (3, B)."""
    scores = np.concatenate(parts, axis=1)
    found = ViewScores(scores.shape[1], *scores.mean(axis=1).tolist())
    if checks is None:
        return found
    ranks = np.concatenate([check.ranks for check in checks], axis=1)
    ssim = np.concatenate([check.ssim for check in checks], axis=1)
    whole = checks[0]._replace(ranks=ranks, ssim=ssim)
    return found._replace(left=whole.left(), insensitive=whole.insensitive())
