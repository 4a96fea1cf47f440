"""Images in, predictions out: the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.archives import Packed
from lookcloser.core.choices import Task
from lookcloser.core.errors import NotFiniteError
from lookcloser.core.images import ImageSource
from lookcloser.core.options import whole
from lookcloser.core.sizes import ImageSize
from lookcloser.core.types import Prediction
from lookcloser.runtime.answering import Promise, predictions
from lookcloser.runtime.inputs import Loaded, list_sources, load_batches
from lookcloser.runtime.outputs import ArrayOutput, Engine

NO_NUMBERS = "the model's answer to it is not a number"


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
        LookcloserError: For a path that does not exist, a URL, and a number that is too small;
            before anything is yielded.
    """
    whole(1, top=top, batch_size=batch_size)
    whole(0, workers=workers)
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
    """The predictions of one batch of images, in order.

    One that cannot be read, or to which the network answers no numbers, has ``error`` set.
    """
    read = [item for item in loaded if item.pixels is not None]
    answers: Iterator[Prediction] = iter(())
    if read:
        answers = told(engine, asked(engine, read, top), read, top, promise)
    found = []
    for source, item in zip(sources, loaded, strict=True):
        path = Path(source) if isinstance(source, str | Path) else None
        if item.error is not None:
            found.append(unread(engine.header.task, item, path))
        else:
            image = source if isinstance(source, Packed) else item.image
            found.append(replace(next(answers), path=path, image=image))
    return found


def unread(task: Task, item: Loaded, path: Path | None = None) -> Prediction:
    """The answer for an image that could not be read."""
    return Prediction(task, (), (), ImageSize(0, 0), path, error=item.error, error_kind=item.kind)


def asked(engine: Engine, read: Sequence[Loaded], top: int) -> ArrayOutput:
    """What the network says of images that could be read."""
    return engine.answer(np.stack([item.pixels for item in read if item.pixels is not None]), top)


def told(
    engine: Engine,
    output: ArrayOutput,
    read: Sequence[Loaded],
    top: int,
    promise: Promise | None,
) -> Iterator[Prediction]:
    """The predictions from what `asked` gave, in order; see `answer_batch` for errors."""
    header, good = engine.header, _numbers(output)
    sizes = [item.size for item in read]
    if good.all():
        yield from predictions(output, header, sizes, top, promise)
        return
    kept = [None if values is None else values[good] for values in output]
    own = [size for size, is_good in zip(sizes, good, strict=True) if is_good]
    answers = predictions(ArrayOutput._make(kept), header, own, top, promise)
    for size, is_good in zip(sizes, good, strict=True):
        nothing = Prediction(
            header.task, (), (), size, error=NO_NUMBERS, error_kind=NotFiniteError.kind
        )
        yield next(answers) if is_good else nothing


def _numbers(output: ArrayOutput) -> NDArray[np.bool_]:
    """(B,) whether labels and maps can be made of what a network says of an image."""
    good = np.ones(len(output.logits), dtype=bool)
    for values in (output.logits, output.scale_logits):
        if values is not None:
            # A class may be ruled out, at -inf, but not each; at inf the shares are no numbers.
            highest = values.max(axis=-1).reshape(len(values), -1)
            good &= np.isfinite(highest).all(axis=1)
    for values in (
        output.maps,
        output.boxes,
        output.part_maps,
        output.token_scores,
        output.box_scores,
    ):
        if values is not None:
            good &= np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return good
