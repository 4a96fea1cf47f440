"""Whether an exported file answers as the network that it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.types import Label
from lookcloser.runtime.answering import label_scores
from lookcloser.runtime.outputs import ArrayOutput, Engine
from lookcloser.runtime.regions import scale_scores

TOLERANCE = 1e-4  # of the range of values
BOX_TOLERANCE = 0.5  # pixels of the network's input
MOVED = 1e-3  # of them; rounding is far less, and a step of `lookcloser.layers.boxcar` far more
MOVED_SHARE = 1 / 8  # of the images; of one in thousands a box is expected on another step


@dataclass(frozen=True)
class Differences:
    """The largest differences between two engines on the same images.

    Attributes:
        images: How many were compared.
        logits: As a share of the range of the logits.
        maps: As a share of the range of the maps, of attentions too; None where there are none.
        boxes: In pixels of the network's input; None where there are none.
        scores: Of tokens; None where an answer is no sequence.
        sequences: Images whose sequences or certificates are not the same.
        distances: From the training's images, as a share of the largest, or of twice the largest
            logit; None where there are none.
        box_scores: How sure the scale of each box is; None where there are no boxes.
        moved: Images with a box on another step, so that the network sees another crop. Nothing
            else of them is compared.
    """

    images: int
    logits: float
    maps: float | None = None
    boxes: float | None = None
    scores: float | None = None
    sequences: int = 0
    distances: float | None = None
    box_scores: float | None = None
    moved: int = 0

    def require_equal(self, path: str | Path) -> None:
        """Raise a `LookcloserError` where the differences are more than rounding."""
        shares = {"logits": self.logits} | dict(self._optional())
        # NaN, which is not at most anything, is wrong too.
        wrong = [name for name, value in shares.items() if not (value or 0.0) <= TOLERANCE]
        few = self.moved <= max(min(1, self.images - 1), MOVED_SHARE * self.images)
        wrong += [] if few and (self.boxes or 0.0) <= BOX_TOLERANCE else ["boxes"]
        wrong += ["sequences"] if self.sequences else []
        if wrong:
            raise LookcloserError(
                f"{path}: the file does not answer as the model does, in its {', '.join(wrong)} "
                f"({self.text()}); it was not kept",
                fix="Train with another backbone, and please report this one",
            )

    def text(self) -> str:
        """One line."""
        found = [f"logits {self.logits:.1e}"]
        found += [f"{name} {value:.1e}" for name, value in self._optional() if value is not None]
        found += [] if self.boxes is None else [f"boxes {self.boxes:.1e} px"]
        found += [f"{self.moved} of {self.images} moved"] if self.moved else []
        if self.scores is not None:
            found.append(f"{self.sequences} of {self.images} sequences differ")
        return ", ".join(found)

    def _optional(self) -> tuple[tuple[str, float | None], ...]:
        return (
            ("maps", self.maps),
            ("scores", self.scores),
            ("distances", self.distances),
            ("scores of boxes", self.box_scores),
        )


def compare(
    engine: Engine, reference: Engine, pixels: NDArray[np.uint8], batch_size: int = 8
) -> Differences:
    """How far the answers of ``engine`` are from those of ``reference``.

    Args:
        engine: Under test.
        reference: What it should answer.
        pixels: (B, 3, H, W), at least one image.
        batch_size: Images per forward pass.
    """
    parts = [
        _of_batch(engine, reference, pixels[at : at + batch_size])
        for at in range(0, len(pixels), batch_size)
    ]
    return Differences(
        len(pixels),
        _largest([part.logits for part in parts]) or 0.0,
        _largest([part.maps for part in parts]),
        _largest([part.boxes for part in parts]),
        _largest([part.scores for part in parts]),
        sum(part.sequences for part in parts),
        _largest([part.distances for part in parts]),
        _largest([part.box_scores for part in parts]),
        sum(part.moved for part in parts),
    )


def _of_batch(engine: Engine, reference: Engine, pixels: NDArray[np.uint8]) -> Differences:
    first = reference.answer(pixels, 1)
    if first.token_scores is not None and first.tokens is not None:
        return _of_sequences(engine.answer(pixels, 1), first)
    # Of fixed classes, so that two nearly equal ones in another order are no difference.
    count = min(first.logits.shape[1], 50)
    tokens = np.tile(np.arange(count), (len(pixels), 1))
    found, wanted = engine.evidence(pixels, tokens), reference.evidence(pixels, tokens)
    parts = engine.answer(pixels, 1).part_maps
    boxes = _by_image(found.boxes, wanted.boxes, pixels.shape[2:])
    # NaN, of boxes that cannot be compared, is no move.
    kept = np.arange(len(pixels)) if boxes is None else np.flatnonzero(~(boxes > MOVED))
    found, wanted, first = (_of_rows(output, kept) for output in (found, wanted, first))
    maps = _share(found.maps, wanted.maps), _share(_taken(parts, kept), first.part_maps)
    return Differences(
        len(pixels),
        _share(found.logits, wanted.logits) or 0.0,
        _largest(maps),
        None if boxes is None else float(boxes.max()),
        distances=_of_distances(found.distances, wanted),
        box_scores=_of_box_scores(found, wanted, reference.header),
        moved=len(pixels) - len(kept),
    )


def _by_image(
    found: NDArray[np.floating] | None,
    wanted: NDArray[np.floating] | None,
    size: tuple[int, ...],
) -> NDArray[np.floating] | None:
    """(B,) by how many pixels of the network's input boxes (B, S, 4) differ; as `_largest_step`."""
    if found is None and wanted is None:
        return None
    if found is None or wanted is None or found.shape != wanted.shape:
        given = found if found is not None else wanted
        assert given is not None
        return np.full(len(given), np.nan)
    steps: NDArray[np.floating] = np.abs(found - wanted).max(axis=(1, 2), initial=0.0)
    return steps * max(size) / 2


def _of_distances(found: NDArray[np.floating] | None, wanted: ArrayOutput) -> float | None:
    """A distance is a difference, from which twice a logit was taken: what rounds it is the larger.

    Images that the head was solved from are next to nothing away from it.
    """
    step = _largest_step(found, wanted.distances)
    if step is None or wanted.distances is None:
        return step
    terms = (wanted.distances, 2 * wanted.logits[np.isfinite(wanted.logits)])
    return step / (max(float(np.abs(term).max(initial=0.0)) for term in terms) or 1.0)


def _of_box_scores(found: ArrayOutput, wanted: ArrayOutput, header: ModelHeader) -> float | None:
    """Of images whose best classes are not two nearly equal ones."""
    if found.boxes is None or wanted.boxes is None or found.boxes.shape != wanted.boxes.shape:
        return None  # that is said of the boxes
    same = np.flatnonzero(
        (found.logits.argmax(axis=1) == wanted.logits.argmax(axis=1))
        & np.isfinite(found.logits + wanted.logits).all(axis=1)
    )
    shares = (_box_scores(_of_rows(output, same), header) for output in (found, wanted))
    return _largest_step(*shares)


def _box_scores(output: ArrayOutput, header: ModelHeader) -> NDArray[np.floating]:
    best, scores = output.logits.argmax(axis=1), label_scores(output.logits, header)
    labels = [Label("", float(scores[row, own]), own) for row, own in enumerate(best.tolist())]
    return np.array([scale_scores(output, row, label) for row, label in enumerate(labels)])


def _of_rows(output: ArrayOutput, rows: NDArray[np.intp]) -> ArrayOutput:
    kept: list[Any] = [_taken(array, rows) for array in output]
    return ArrayOutput(*kept)


def _taken(array: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if array is None else array[rows]


def _of_sequences(found: ArrayOutput, wanted: ArrayOutput) -> Differences:
    assert found.tokens is not None
    assert wanted.tokens is not None
    count, width = wanted.tokens.shape[0], max(found.tokens.shape[1], wanted.tokens.shape[1])
    same = (_wide(found.tokens, width, -1) == _wide(wanted.tokens, width, -1)).all(axis=1)
    if found.certified is not None and wanted.certified is not None:
        same &= found.certified == wanted.certified
    else:
        same &= found.certified is wanted.certified
    equal = np.flatnonzero(same)

    def kept(array: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if array is None else _wide(array, width)[equal]

    return Differences(
        count,
        _share(found.logits, wanted.logits) or 0.0,
        _share(kept(found.maps), kept(wanted.maps)),
        scores=_largest_step(kept(found.token_scores), kept(wanted.token_scores)),
        sequences=int((~same).sum()),
    )


def _wide(array: NDArray[Any], width: int, fill: float = 0.0) -> NDArray[Any]:
    """(B, K, …) -> (B, width, …)."""
    margin = [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, margin, constant_values=fill)


def _share(found: NDArray[np.floating] | None, wanted: NDArray[np.floating] | None) -> float | None:
    """The largest difference as a share of the range of what is wanted."""
    step = _largest_step(found, wanted)
    if step is None or wanted is None or not wanted.size:
        return step
    return step / (float(wanted.max() - wanted.min()) or float(np.abs(wanted).max()) or 1.0)


def _largest_step(
    found: NDArray[np.floating] | None, wanted: NDArray[np.floating] | None
) -> float | None:
    """None where both are missing; NaN where one is, and where their shapes differ."""
    if found is None and wanted is None:
        return None
    if found is None or wanted is None or found.shape != wanted.shape:
        return float("nan")
    return float(np.abs(found - wanted).max(initial=0.0))


def _largest(values: Iterable[float | None]) -> float | None:
    """NaN where there is one."""
    given = [value for value in values if value is not None]
    return float(np.max(given)) if given else None
