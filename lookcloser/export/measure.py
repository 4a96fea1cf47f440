"""What 8 bits cost: answers, evidence, size and speed of two files side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.boxes import scale
from lookcloser.core.sizes import ImageSize
from lookcloser.metrics import max_box_acc, rank_correlation
from lookcloser.metrics.maps import upsample_maps
from lookcloser.runtime.onnx_engine import OnnxEngine
from lookcloser.runtime.outputs import ArrayOutput

_BATCH = 16
_REPEATS = 15
_IOU = 0.5

TrueBoxes = Sequence[Sequence[tuple[float, float, float, float]]]


@dataclass(frozen=True, eq=False)
class Measured:
    """Images that two engines are compared on.

    Attributes:
        pixels: (B, 3, H, W).
        labels: (B,) true classes; None where they are not known, or there is more than one.
        boxes: Of each image those of its true class, in pixels of ``sizes``; None without.
        sizes: Of the originals.
        source: What they are, in words.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    boxes: TrueBoxes | None = None
    sizes: Sequence[ImageSize] = ()
    source: str = "drawn images"


@dataclass(frozen=True)
class Row:
    """One line of the comparison; a quantity of both together has no ``before``."""

    name: str
    before: float | None
    after: float
    form: str

    def texts(self) -> list[str]:
        """Name, before and after as they are printed."""
        before = "" if self.before is None else format(self.before, self.form)
        return [self.name, before, format(self.after, self.form)]


def side_by_side(before: OnnxEngine, after: OnnxEngine, given: Measured) -> list[Row]:
    """Answers, evidence, size and speed of ``before`` and ``after`` on the same images.

    Rows: top-1 where the true classes are known; "same answer", the share of the images with equal
    best labels, sets or sequences; "map rank correlation", the mean over images of Spearman's
    between the maps of the answer of ``before``, of files that have maps; MaxBoxAcc@0.5 of the maps
    of the true class where there are boxes, too; megabytes; milliseconds for one image, the median
    of interleaved runs.
    """
    outputs = [_answers(engine, given.pixels) for engine in (before, after)]
    tokens = [_rows(output) for output in outputs]
    rows = []
    if given.labels is not None:
        first, second = (float((o.logits.argmax(axis=1) == given.labels).mean()) for o in outputs)
        rows.append(Row("top-1", first, second, ".4f"))
    same = [one == other for one, other in zip(*tokens, strict=True)]
    rows.append(Row("same answer", None, float(np.mean(same)), ".4f"))
    correlation = _correlation(before, after, given.pixels, outputs, same)
    if correlation is not None:
        rows.append(Row("map rank correlation", None, correlation, ".4f"))
    if given.boxes is not None and given.labels is not None and correlation is not None:
        first, second = (_max_box_acc(engine, given) for engine in (before, after))
        rows.append(Row(f"MaxBoxAcc@{_IOU}", first, second, ".4f"))
    first, second = (len(engine.file.model) / 1e6 for engine in (before, after))
    rows.append(Row("megabytes", first, second, ".1f"))
    first, second = _milliseconds(before, after, given.pixels[:1])
    rows.append(Row("ms an image", first, second, ".2f"))
    return rows


def _answers(engine: OnnxEngine, pixels: NDArray[np.uint8]) -> ArrayOutput:
    """The answers of all images, their tokens and maps as wide as the widest batch."""
    batches = [engine.answer(pixels[at : at + _BATCH], 1) for at in range(0, len(pixels), _BATCH)]
    width = max(0 if batch.tokens is None else batch.tokens.shape[1] for batch in batches)
    tokens = [
        np.pad(b.tokens, ((0, 0), (0, width - b.tokens.shape[1])), constant_values=-1)
        for b in batches
        if b.tokens is not None
    ]
    maps = [
        np.pad(b.maps, ((0, 0), (0, width - b.maps.shape[1]), (0, 0), (0, 0)))
        for b in batches
        if b.maps is not None
    ]
    return ArrayOutput(
        np.concatenate([batch.logits for batch in batches]),
        np.concatenate(maps) if maps else None,
        np.concatenate(tokens) if tokens else None,
    )


def _rows(output: ArrayOutput) -> list[list[int]]:
    assert output.tokens is not None  # of every answer of a file
    return [[token for token in row if token >= 0] for row in output.tokens.tolist()]


def _correlation(
    before: OnnxEngine,
    after: OnnxEngine,
    pixels: NDArray[np.uint8],
    outputs: Sequence[ArrayOutput],
    same: Sequence[bool],
) -> float | None:
    """Of the first token of each answer; of sequences where both say the same."""
    first, second = outputs
    if first.maps is None or first.tokens is None:
        return None
    if before.file.graphs:
        assert second.maps is not None  # as the other's
        kept = [row for row, equal in enumerate(same) if equal and first.tokens[row, 0] >= 0]
        pairs = [(first.maps[row, 0], second.maps[row, 0]) for row in kept]
    else:
        maps = [_maps_of(engine, pixels, first.tokens[:, :1]) for engine in (before, after)]
        pairs = list(zip(*maps, strict=True))
    if not pairs:
        return None
    firsts, seconds = (np.stack(maps) for maps in zip(*pairs, strict=True))
    return float(rank_correlation(firsts, seconds).mean())


def _maps_of(
    engine: OnnxEngine, pixels: NDArray[np.uint8], tokens: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(B, h, w) of one class for each image."""
    parts = []
    for at in range(0, len(pixels), _BATCH):
        maps = engine.evidence(pixels[at : at + _BATCH], tokens[at : at + _BATCH]).maps
        assert maps is not None  # of a network that has them
        parts.append(maps[:, 0])
    return np.concatenate(parts)


def _max_box_acc(engine: OnnxEngine, given: Measured) -> float:
    assert given.labels is not None
    assert given.boxes is not None
    size = engine.header.preprocessing.size.image_size
    kept = [row for row, boxes in enumerate(given.boxes) if boxes]
    maps = _maps_of(engine, given.pixels[kept], given.labels[kept][:, None])
    places = [scale(given.boxes[row], given.sizes[row], size) for row in kept]
    return max_box_acc(upsample_maps(maps, size), places, [_IOU], "largest", "corrected")["mean"]


def _milliseconds(
    before: OnnxEngine, after: OnnxEngine, pixels: NDArray[np.uint8]
) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for engine in (before, after):
        engine.answer(pixels, 1)  # the first run allocates
    for _ in range(_REPEATS):
        for engine, own in zip((before, after), times, strict=True):
            start = time.perf_counter()
            engine.answer(pixels, 1)
            own.append(time.perf_counter() - start)
    first, second = (1000 * float(np.median(own)) for own in times)
    return first, second
