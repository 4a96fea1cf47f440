"""The class maps that pseudo-boxes are cut from, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.core.sizes import ImageSize
from lookcloser.data import Sample
from lookcloser.runtime import ArrayOutput, Engine, Loaded, label_scores, load_batches
from lookcloser.runtime.spread import Spread

_MOST_TAGS = 20  # of one image's answer


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """One image with the maps of some classes.

    Attributes:
        sample: The image.
        size: Of the upright image.
        classes: Which classes.
        scores: Of each in [0, 1].
        maps: (K, h, w), raw.
    """

    sample: Sample
    size: ImageSize
    classes: tuple[int, ...]
    scores: tuple[float, ...]
    maps: NDArray[np.float32]


Failed = tuple[Sample, str]
LabelsOf = Callable[[Sample], Sequence[str] | None]


def label_maps(
    engine: Engine,
    samples: Sequence[Sample],
    *,
    labels_of: LabelsOf,
    batch_size: int = 32,
    workers: int = 0,
    spread: Spread | None = None,
) -> Iterator[list[LabelMaps | Failed]]:
    """Run the model over images, a batch at a time.

    Args:
        engine: What runs the network.
        samples: The images.
        labels_of: Whose maps: names of the model's classes, or None for those of its answer.
        batch_size: Images per forward pass.
        workers: Threads that decode images.
        spread: Runs the network elsewhere, or None.

    Yields:
        What was seen on each image of a batch, in order, or why it could not be read.

    Raises:
        LookcloserError: For a method without class maps.
    """
    asked = [(sample, labels_of(sample)) for sample in samples]
    if spread is not None:
        yield from spread(partial(_looked, batch_size, workers), asked)
    else:
        yield from _batches(batch_size, workers, engine, asked)


Asked = tuple[Sample, Sequence[str] | None]


def _looked(
    batch_size: int, workers: int, engine: Engine, asked: Sequence[Asked]
) -> list[LabelMaps | Failed]:
    """All batches together, as they come from elsewhere."""
    return [one for batch in _batches(batch_size, workers, engine, asked) for one in batch]


def _batches(
    batch_size: int, workers: int, engine: Engine, asked: Sequence[Asked]
) -> Iterator[list[LabelMaps | Failed]]:
    index = {name: number for number, name in enumerate(engine.header.names)}
    batches = load_batches(
        [sample.source for sample, _ in asked],
        engine.header.preprocessing,
        batch_size=batch_size,
        workers=workers,
    )
    done = 0
    for batch in batches:
        own = asked[done : done + len(batch)]
        done += len(batch)
        samples, labels = [sample for sample, _ in own], [names for _, names in own]
        yield list(_of_batch(engine, samples, batch, labels, index))


def _of_batch(
    engine: Engine,
    samples: Sequence[Sample],
    loaded: Sequence[Loaded],
    labels: Sequence[Sequence[str] | None],
    index: Mapping[str, int],
) -> Iterator[LabelMaps | Failed]:
    """In the order of ``samples``; the network is asked apart for given and for other labels."""
    read = [row for row, item in enumerate(loaded) if item.pixels is not None]
    found: dict[int, LabelMaps] = {}
    for asked in (
        [row for row in read if labels[row] is not None],
        [row for row in read if labels[row] is None],
    ):
        if not asked:
            continue
        each = [loaded[row].pixels for row in asked]
        pixels = np.stack([pixels for pixels in each if pixels is not None])
        output = _output(engine, pixels, [labels[row] for row in asked], index)
        for place, row in enumerate(asked):
            scores = label_scores(output.logits[place], engine.header)
            found[row] = _maps(output, place, samples[row], loaded[row].size, scores)
    for row, (sample, item) in enumerate(zip(samples, loaded, strict=True)):
        yield found.get(row, (sample, item.error or ""))


def _output(
    engine: Engine,
    pixels: NDArray[np.uint8],
    labels: Sequence[Sequence[str] | None],
    index: Mapping[str, int],
) -> ArrayOutput:
    """What the network says of images, all with given labels or all without."""
    given = [names for names in labels if names is not None]
    if given:
        output = engine.evidence(pixels, _tokens(given, index))
    else:
        most = 1 if engine.header.task == "classification" else _MOST_TAGS
        output = engine.answer(pixels, most)
    if output.maps is None or output.tokens is None:
        raise LookcloserError(
            f"{engine.header.method}: gives no class maps, and boxes are cut from them",
            fix="Train another method; `lookcloser methods` lists them",
        )
    return output


def _tokens(labels: Sequence[Sequence[str]], index: Mapping[str, int]) -> NDArray[np.int64]:
    """(B, K) classes of each image's labels, filled up with -1."""
    tokens = np.full((len(labels), max(1, *map(len, labels))), -1)
    for row, names in enumerate(labels):
        tokens[row, : len(names)] = [index[name] for name in names]
    return tokens


def _maps(
    output: ArrayOutput,
    row: int,
    sample: Sample,
    size: ImageSize,
    scores: NDArray[np.float32],
) -> LabelMaps:
    assert output.tokens is not None  # checked where the network was asked
    assert output.maps is not None
    kept = np.flatnonzero(output.tokens[row] >= 0)
    classes = output.tokens[row, kept]
    return LabelMaps(
        sample,
        size,
        tuple(classes.tolist()),
        tuple(scores[classes].tolist()),
        output.maps[row, kept],
    )
