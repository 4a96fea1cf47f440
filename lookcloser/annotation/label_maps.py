"""The class maps that pseudo-boxes are cut from, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.errors import LookcloserError
from lookcloser.data import Sample
from lookcloser.runtime import ArrayOutput, Engine, Loaded, label_scores, load_batches

_MOST_TAGS = 20  # of one image's answer


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """One image with the maps of some classes.

    Attributes:
        sample: The image.
        size: (width, height), upright.
        classes: Which classes.
        scores: Of each in [0, 1].
        maps: (K, h, w), raw.
    """

    sample: Sample
    size: tuple[int, int]
    classes: tuple[int, ...]
    scores: tuple[float, ...]
    maps: NDArray[np.float32]


Failed = tuple[Sample, str]


def label_maps(
    engine: Engine,
    samples: Sequence[Sample],
    *,
    given: bool,
    batch_size: int = 32,
    workers: int = 0,
) -> Iterator[list[LabelMaps | Failed]]:
    """Run the model over images, a batch at a time.

    Args:
        engine: What runs the network.
        samples: The images.
        given: Whether the maps are those of each sample's own labels, or of the model's answer.
        batch_size: Images per forward pass.
        workers: Threads that decode images.

    Yields:
        What was seen on each image of a batch, in order, or why it could not be read.

    Raises:
        LookcloserError: For a method without class maps.
    """
    index = {name: number for number, name in enumerate(engine.header.names)}
    batches = load_batches(
        [sample.source for sample in samples],
        engine.header.preprocessing,
        batch_size=batch_size,
        workers=workers,
    )
    done = 0
    for batch in batches:
        own = samples[done : done + len(batch)]
        done += len(batch)
        yield list(_of_batch(engine, own, batch, index if given else None))


def _of_batch(
    engine: Engine,
    samples: Sequence[Sample],
    loaded: Sequence[Loaded],
    index: Mapping[str, int] | None,
) -> Iterator[LabelMaps | Failed]:
    read = [row for row, item in enumerate(loaded) if item.pixels is not None]
    output = _output(engine, [samples[row] for row in read], [loaded[row] for row in read], index)
    row = 0
    for sample, item in zip(samples, loaded, strict=True):
        if item.error is not None or output is None:
            yield sample, item.error or ""
            continue
        yield _maps(output, row, sample, item.size, label_scores(output.logits[row], engine.header))
        row += 1


def _output(
    engine: Engine,
    samples: Sequence[Sample],
    loaded: Sequence[Loaded],
    index: Mapping[str, int] | None,
) -> ArrayOutput | None:
    """What the network says of the readable images of a batch; None where there are none."""
    pixels = [item.pixels for item in loaded if item.pixels is not None]
    if not pixels:
        return None
    if index is None:
        most = 1 if engine.header.task == "classification" else _MOST_TAGS
        output = engine.answer(np.stack(pixels), most)
    else:
        output = engine.evidence(np.stack(pixels), _tokens(samples, index))
    if output.maps is None or output.tokens is None:
        raise LookcloserError(
            f"{engine.header.method}: gives no class maps, and boxes are cut from them",
            fix="Train another method; `lookcloser methods` lists them",
        )
    return output


def _tokens(samples: Sequence[Sample], index: Mapping[str, int]) -> NDArray[np.int64]:
    """(B, K) classes of each sample's labels, filled up with -1."""
    most = max(1, *(len(sample.labels) for sample in samples))
    tokens = np.full((len(samples), most), -1)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample.labels)] = [index[name] for name in sample.labels]
    return tokens


def _maps(
    output: ArrayOutput,
    row: int,
    sample: Sample,
    size: tuple[int, int],
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
