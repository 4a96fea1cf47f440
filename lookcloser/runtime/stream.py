"""Images in, predictions out: the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookcloser.core.archives import Packed
from lookcloser.core.images import ImageSource
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Prediction
from lookcloser.runtime.answering import Promise, predictions
from lookcloser.runtime.inputs import Loaded, list_sources, load_batches
from lookcloser.runtime.outputs import Engine


def stream(
    engine: Engine,
    images: ImageSource | Iterable[ImageSource],
    *,
    top: int = 5,
    batch_size: int = 16,
    workers: int = 0,
    promise: Promise | None = None,
) -> Iterator[Prediction]:
    """Classify, tag or caption images one by one, with two batches in memory.

    Args:
        engine: What runs the network.
        images: As `lookcloser.Recognizer.predict` takes them.
        top: How many labels, and maps, each answer holds.
        batch_size: Images per forward pass.
        workers: Threads that decode images.
        promise: See `predictions`.

    Yields:
        One prediction per image, in order. An image that cannot be read has ``error`` set.

    Raises:
        LookcloserError: For a path that does not exist, and a URL; before anything is yielded.
    """
    sources = list_sources(images)
    done = 0
    for batch in load_batches(
        sources, engine.header.preprocessing, batch_size=batch_size, workers=workers
    ):
        yield from answer_batch(engine, sources[done : done + len(batch)], batch, top, promise)
        done += len(batch)


def answer_batch(
    engine: Engine,
    sources: Sequence[ImageSource],
    loaded: Sequence[Loaded],
    top: int,
    promise: Promise | None = None,
) -> list[Prediction]:
    """The predictions of one batch of images, in order."""
    read = [item for item in loaded if item.pixels is not None]
    answers: Iterator[Prediction] = iter(())
    if read:
        output = engine.answer(
            np.stack([item.pixels for item in read if item.pixels is not None]), top
        )
        sizes = [item.size for item in read]
        answers = predictions(output, engine.header, sizes, top, promise)
    found = []
    for source, item in zip(sources, loaded, strict=True):
        path = Path(source) if isinstance(source, str | Path) else None
        if item.error is not None:
            task = engine.header.task
            found.append(Prediction(task, (), (), ImageSize(0, 0), path, error=item.error))
        else:
            image = source if isinstance(source, Packed) else item.image
            found.append(replace(next(answers), path=path, image=image))
    return found
