"""How equal the answers of two engines are, number by number, as `Prediction.to_dict` gives them.

Rounding is not continuous: two numbers that differ by a millionth are another 4th digit where an
edge between two digits lies in between. So numbers are counted twice: as they are, and without
those that lie beside such an edge.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.core.types import Prediction
from lookcloser.inference.engine import TorchEngine
from lookcloser.runtime import Engine, predictions
from lookcloser.runtime.regions import heatmaps_of

DIGITS = 4  # scores and heatmaps range from 0 to 1


class Compared:
    """Answers of two engines for the same images."""

    def __init__(self) -> None:
        self.unequal, self.numbers, self.literal, self.others = 0, 0, 0, 0
        self.boxes, self.rest, self.sum = 0.0, 0.0, 0.0

    def add(self, found: Prediction, wanted: Prediction) -> None:
        """Count one image."""
        shown = [list(_leaves(one.to_dict())) for one in (found, wanted)]
        exact = [list(_leaves(_unrounded(one))) for one in (found, wanted)]
        places, others = ([place for place, _ in leaves] for leaves in shown)
        pairs = list(zip(*shown, strict=False))
        if places != others or any(_is_another(a, b) for (_, a), (_, b) in pairs):
            self.unequal += 1
            return
        for ((place, a), (_, b)), ((_, x), (_, y)) in zip(
            pairs, zip(*exact, strict=True), strict=True
        ):
            if isinstance(b, float):
                self._count(place, (a, b), (x, y))

    def _count(self, place: str, shown: tuple[float, float], exact: tuple[float, float]) -> None:
        self.numbers += 1
        if round(shown[0], DIGITS) != round(shown[1], DIGITS):
            self.literal += 1
        difference = abs(exact[0] - exact[1])
        if place.endswith(".box"):
            self.boxes = max(self.boxes, difference)
        else:
            self.rest = max(self.rest, difference)
            self.others, self.sum = self.others + 1, self.sum + difference

    def row(self) -> dict[str, object]:
        """For the results."""
        mean = self.sum / max(self.others, 1)
        return {
            "other answers": self.unequal,
            "numbers": self.numbers,
            f"unequal at {DIGITS} digits": self.literal,
            "expected of them": mean * self.numbers * 10**DIGITS,
            "boxes, px of the image": self.boxes,
            "other numbers before rounding": self.rest,
            "their mean": mean,
        }


def _is_another(found: object, wanted: object) -> bool:
    """Whether two parts of an answer differ by more than a number can."""
    return type(found) is not type(wanted) or (found != wanted and not isinstance(wanted, float))


def _unrounded(prediction: Prediction) -> dict[str, object]:
    """`to_dict` with heatmaps as they are before it rounds them."""
    found = prediction.to_dict()
    for region, given in zip(found["regions"], prediction.regions, strict=True):
        region["heatmap"] = None if given.heatmap is None else given.heatmap.astype(float).tolist()
    return found


def _leaves(answer: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Everything in an answer, with its place in it."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield from _leaves(value, f"{place}.{key}")
    elif isinstance(answer, list):
        for value in answer:
            yield from _leaves(value, place)
    else:
        yield place, answer


def compare_answers(
    engine: Engine, other: Engine, pixels: NDArray[np.uint8], compared: Compared
) -> None:
    """Count one batch."""
    sizes = [(227, 227)] * len(pixels)
    wanted, found = (
        list(predictions(one.answer(pixels, 5), one.header, sizes, 5)) for one in (engine, other)
    )
    for pair in zip(found, wanted, strict=True):
        compared.add(*pair)


class Doubled(TorchEngine):
    """A network in float64: what float32 should give."""

    def images(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """See `TorchEngine.images`."""
        return super().images(pixels).double()


def noise(engine: TorchEngine, other: Engine, pixels: NDArray[np.uint8]) -> dict[str, float]:
    """How far the heatmaps of float32 are from float64, in the network and in the file.

    The network is in float64 afterwards.
    """
    tokens = engine.answer(pixels, 5).tokens
    assert tokens is not None  # of a classifier, or of tags
    eager, file = (_heatmaps(one, pixels, tokens) for one in (engine, other))
    true = _heatmaps(Doubled(engine.model.double(), engine.header, engine.device), pixels, tokens)
    differences = {"eager": eager - true, "file": file - true, "file and eager": file - eager}
    return {name: float(np.abs(found).max()) for name, found in differences.items()}


def _heatmaps(
    engine: Engine, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]
) -> NDArray[np.float32]:
    maps = engine.evidence(pixels, tokens).maps
    assert maps is not None
    return heatmaps_of(maps)
