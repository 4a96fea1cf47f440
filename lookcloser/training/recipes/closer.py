"""A second look in closed form: where the first look points, cut out, seen again, solved again."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.closed_form import Head, Memory
from lookcloser.core.calibration import Calibration
from lookcloser.core.header import ModelHeader, with_box_rule
from lookcloser.core.hooks import evaluating
from lookcloser.core.sizes import Grid
from lookcloser.data.catalog import Sample
from lookcloser.layers.class_head import ClassHead
from lookcloser.models.cam.closer import SecondLook, cut
from lookcloser.models.cam.model import CAM
from lookcloser.models.cam.twice import LooksTwice
from lookcloser.training.recipes.closed_form import rebuilt, solve
from lookcloser.training.recipes.finding import (
    Windows,
    collect_windows,
    first_vectors,
    true_places,
)
from lookcloser.training.recipes.looks import Looks, Part, collect_looks
from lookcloser.uncertainty import OF_A_NETWORK, calibrate, cross_entropy, fit_temperature

T = TypeVar("T")

SHARES = (0.2, 0.26, 0.34, 0.44)  # sides of a crop, as shares of the image's
_START = 2  # the share that is tried first
PLACES = 3  # where nobody says how many
FACTOR = 2  # side of the first look over that of the second
TRIED = 400  # images at most that are looked at by heads solved without them
LEAST = 1.5  # of the input's side, that images must have for a second look to show more
GAIN = 0.01  # of accuracy, that pays for several times the compute
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Closer:
    """The heads of a model that looks twice, and what is known of its answers.

    Attributes:
        first: Of whole images at the resolution of the source.
        finder: Of windows; its last class is elsewhere.
        second: Of crops.
        places: That are looked at again.
        share: Side of a crop as a share of the image's.
        calibration: From images whose finder and second head were solved without them.
        accuracy: The share of them that is answered right.
        loss: Their cross-entropy, in nats.
        images: That the heads were solved from.
        crops: (N, D) what the second one was solved from.
    """

    first: Head
    finder: Head
    second: Head
    places: int
    share: float
    calibration: Calibration
    accuracy: float
    loss: float
    images: int
    crops: NDArray[np.float32]


def solve_closer(
    model: CAM,
    samples: Sequence[Sample],
    header: ModelHeader,
    *,
    places: int = PLACES,
    balanced: bool = False,
    enough: float = 0.0,
    share: float | None = None,
    rated: bool = True,
) -> Closer | float:
    """Solve the heads of a model that looks twice.

    Args:
        model: With rooted features, on the device where it shall run.
        samples: Images of a classification that can be read.
        header: Of the model, for images at the size of the second look.
        places: How many are looked at again.
        balanced: As in `solve`.
        enough: The accuracy that the second head must have on crops at the places of the true
            class, each left out in turn, to be worth the rest. The answer's own is hardly higher.
        share: Side of a crop as a share of the image's; None: the best of `SHARES` on such crops.
        rated: Whether heads are solved without some images, to see what is said of those. If not,
            nothing is known of the answers.

    Returns:
        The solution; the accuracy on such crops where it is not enough.

    Raises:
        LookcloserError: For features from which nothing can be solved, and a disk that is full.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = source_of(header).preprocessing
        looks = collect_looks(model, samples, header.names, source, Path(folder))
        view = header.preprocessing.size[0]
        first = solve(Memory.of(first_vectors(looks), looks.labels), "classification",
                      balanced=balanced)  # fmt: skip
        share, vectors, second = _best_share(looks, first, view, share, balanced=balanced)
        if not second.accuracy > enough:
            return second.accuracy
        windows = collect_windows(looks, first, share)
        shape = places, share, view
        found = _Folds(looks, vectors, windows, shape, balanced).answers() if rated else None
        finder = windows.solved(looks)
    known = (Calibration(), math.nan, math.nan) if found is None else found.rates()
    return Closer(first, finder, second, places, share, *known, len(looks), vectors)


def pays(plain: float, closer: float, images: int) -> bool:
    """Whether a share of right answers is higher than another by enough, and by more than chance.

    Args:
        plain: Of one look.
        closer: Of two.
        images: Of which both are.
    """
    noise = 0.5 / math.sqrt(images)  # at most, of the difference
    return closer - plain > max(GAIN, noise)


def source_of(header: ModelHeader) -> ModelHeader:
    """The header of a model that looks twice, for images at the resolution of the source.

    Its maps are 0 where it did not look. Boxes are cut by their maximum: a share of their range,
    which begins below 0, would have all of that inside.
    """
    grid = Grid(*(FACTOR * side for side in header.preprocessing.size))
    preprocessing = replace(header.preprocessing, size=grid)
    return replace(with_box_rule(header, "max"), preprocessing=preprocessing, box_kind="place")


def with_closer(model: CAM, header: ModelHeader, closer: Closer) -> tuple[CAM, ModelHeader]:
    """A model that looks twice around the same backbone, and its header.

    Args:
        model: Whose backbone it takes over.
        header: Of the model, at the size of the second look.
        closer: The solution.
    """
    arguments = look_arguments(header, closer.second, closer.places, closer.share)
    alone = {"kept": 0, "summed": False, "rooted": True}
    new, header = rebuilt(model, source_of(header), {**arguments, **alone})
    fill_looks(new, closer.finder, closer.second)
    fill(new.head, closer.first)
    provenance = {
        **header.provenance,
        "recipe": "closed-form",
        "images": closer.images,
        "shrinkage": closer.second.shrinkage,
    }
    scores = {"left_out_acc": closer.accuracy, "left_out_loss": closer.loss}
    return new, replace(
        header, scores=scores, calibration=closer.calibration, provenance=provenance
    )


def look_arguments(
    header: ModelHeader, second: Head, places: int, share: float
) -> dict[str, bool | float]:
    """Arguments of a model with such a second look."""
    assert second.metric is not None  # as of every discriminant
    return {
        "rank": len(second.metric.gains),
        "places": places,
        "share": share,
        "view": header.preprocessing.size[0],
    }


def fill_looks(model: LooksTwice, finder: Head, second: Head) -> None:
    """Take over the heads of a second look into a model with `look_arguments`."""
    assert model.solution is not None
    assert model.closer is not None  # as its arguments say
    fill_look(model.closer, finder, second)
    width, classes = second.weight.shape[1], len(second.weight)
    nothing = np.zeros((0, width), np.float32), np.zeros((0, classes), np.bool_)
    model.solution.fill(Memory(*nothing), second.metric)


def fill(layer: ClassHead, head: Head) -> None:
    """Take over a head, its logits divided by its temperature."""
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight / head.calibration.temperature))
        layer.bias.copy_(torch.from_numpy(head.bias / head.calibration.temperature))


def fill_look(look: SecondLook, finder: Head, head: Head) -> None:
    """Take over the finder, and the head of crops."""
    fill(look.finder, finder)
    fill(look.head, head)
    with torch.no_grad():
        look.temperature.fill_(head.calibration.temperature)


@dataclass(frozen=True, eq=False)
class _Answers:
    """What is said of images by heads that were solved without them."""

    logits: NDArray[np.float32]
    distances: NDArray[np.float32]
    classes: NDArray[np.int64]

    @property
    def temperature(self) -> float:
        """At which the logits mean what they say; not next to 0 where a few are all right."""
        return fit_temperature(self.logits, self.classes, expected=OF_A_NETWORK)

    def rates(self) -> tuple[Calibration, float, float]:
        """The calibration, the share of right answers, and the cross-entropy in nats."""
        calibration = calibrate(self.logits, self.classes, self.temperature, self.distances)
        right = self.logits.argmax(axis=1) == self.classes
        loss = cross_entropy(self.logits / self.temperature, self.classes)
        return calibration, float(right.mean()), loss


@dataclass(frozen=True, eq=False)
class _Folds:
    """The second look at images left out, a fold at a time.

    The first head needs no fold: it has no say in an answer.
    """

    looks: Looks
    vectors: NDArray[np.float32]
    windows: Windows
    shape: tuple[int, float, int]
    balanced: bool

    def answers(self) -> _Answers:
        """Of `TRIED` images at most; one whose class has no other is not among them."""
        classes = self.looks.classes
        folds = fold_numbers(classes)
        tried = np.random.default_rng(0).permutation(np.flatnonzero(folds >= 0))[:TRIED]
        logits, distances, rows = [], [], []
        for number in range(_FOLDS):
            held_out = np.sort(tried[folds[tried] == number])
            if not len(held_out):
                continue
            kept = folds != number
            head = self._head(kept)
            look = self._look(self.windows.solved(self.looks, kept), head)
            assert head.metric is not None  # as of every discriminant
            for part in self.looks.parts(held_out):
                combined, first, vectors = self._seen(look, part)
                raw = first * head.calibration.temperature
                distances.append(head.metric.distances(vectors, raw))
                logits.append(combined)
            rows.append(held_out)
        return _Answers(
            np.concatenate(logits),
            np.concatenate(distances).astype(np.float32),
            classes[np.concatenate(rows)],
        )

    def _head(self, kept: NDArray[np.bool_]) -> Head:
        memory = Memory.of(self.vectors[kept], self.looks.labels[kept])
        return solve(memory, "classification", balanced=self.balanced)

    def _look(self, finder: Head, head: Head) -> SecondLook:
        width = self.looks.model.backbone.width
        look = SecondLook(width, self.looks.num_classes, *self.shape)
        fill_look(look, finder, head)
        return look.to(next(self.looks.model.parameters()).device)

    def _seen(self, look: SecondLook, part: Part) -> tuple[NDArray[np.float32], ...]:
        """Logits of the answer, those of the first place, and what was seen there."""
        model = self.looks.model
        with torch.inference_mode(), evaluating(model):
            seen = look(part.images, part.features, model.backbone)
            values = look.combined(seen), seen.logits[:, 0], seen.vectors[:, 0]
        return tuple(value.float().cpu().numpy() for value in values)


def _best_share(
    looks: Looks, first: Head, view: int, given: float | None, *, balanced: bool
) -> tuple[float, NDArray[np.float32], Head]:
    """The size of a crop by images left out, its neighbors being worse; its vectors and head."""

    def solved(share: float) -> tuple[float, NDArray[np.float32], Head]:
        vectors = crop_vectors(looks, first, share, view)
        memory = Memory.of(vectors, looks.labels)
        return share, vectors, solve(memory, "classification", balanced=balanced)

    return solved(given) if given is not None else climbed(solved, lambda one: one[2].accuracy)


def climbed(made: Callable[[float], T], score: Callable[[T], float]) -> T:
    """What is made of the best of `SHARES`, searched from a middle one to where others are worse.

    Args:
        made: From a share.
        score: Of what was made, the higher the better.
    """
    best = made(SHARES[_START])
    for numbers in (range(_START - 1, -1, -1), range(_START + 1, len(SHARES))):
        before = best
        for number in numbers:
            found = made(SHARES[number])
            if not score(found) > score(best):
                break
            best = found
        if best is not before:
            break
    return best


def crop_vectors(looks: Looks, first: Head, share: float, view: int) -> NDArray[np.float32]:
    """(N, D) of each image its crop where the first look sees the true class."""
    model, found = looks.model, []
    weight = torch.from_numpy(first.weight.astype(np.float32))
    for part in looks.parts():
        own = weight[torch.from_numpy(looks.classes[part.rows])].to(part.images.device)
        with torch.inference_mode(), evaluating(model):
            boxes = true_places(model.rooted(part.features), own, share)
            crops = cut(part.images, boxes, view).contiguous(memory_format=torch.channels_last)
            found.append(model.pooled(crops).float().cpu().numpy())
    return np.concatenate(found)


def fold_numbers(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) which fold each image is left out in, classes spread evenly; -1 for an only image."""
    folds = np.full(len(classes), -1, dtype=np.int64)
    for number in np.unique(classes):
        own = np.flatnonzero(classes == number)
        if len(own) > 1:
            folds[own] = np.arange(len(own)) % _FOLDS
    return folds
