"""The function that answers a part: the same in one process, in several, and on a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lookcloser.batch.folder import Finished, Folder
from lookcloser.batch.job import Job
from lookcloser.batch.sources import Item, Part
from lookcloser.core.types import Prediction
from lookcloser.runtime import Answerer, answer_batch, load_batches

Tell = Callable[[int], None]


def answer_part(job: Job, answerer: Answerer, part: Part, tell: Tell = lambda _n: None) -> Finished:
    """Answer the images of a part and write them, at once; what a break left is taken over.

    Args:
        job: How, and where the answers go.
        answerer: The network of the job, loaded.
        part: The images.
        tell: Called with a number of images that are done.

    Raises:
        LookcloserError: Where writing fails or the network cannot be run. An image that cannot be
            read is no error: its answer says why.
    """
    folder = Folder(job.out, job.writer)
    lines = folder.recovered(part)
    tell(len(lines))
    left = [item for item in part.items if item.index not in lines]
    if left:
        with folder.journal(part) as journal:
            for batch in answer_items(job, answerer, left):
                new = {index: _line(job, index, answer) for index, answer in batch}
                journal.add(new.values())
                lines |= new
                tell(len(new))
            folder.finish(part, [lines[item.index] for item in part.items])
    else:
        folder.finish(part, [lines[item.index] for item in part.items])
    return folder.counted(part.number, part.digest)


def answer_items(
    job: Job, answerer: Answerer, items: Sequence[Item]
) -> Iterator[list[tuple[int, Prediction]]]:
    """(number, answer) of images in their order, a batch at a time; two batches are in memory."""
    engine, how = answerer.engine, job.how
    sources = [item.source for item in items]
    done = 0
    for loaded in load_batches(
        sources, engine.header.preprocessing, batch_size=how.batch_size, workers=how.workers
    ):
        own = slice(done, done + len(loaded))
        found = answer_batch(engine, sources[own], loaded, how.top, how.promise)
        # Of a member of an archive the path says which; it is not to be opened.
        paths = [Path(str(source)) for source in sources[own]]
        named = [replace(one, path=path) for one, path in zip(found, paths, strict=True)]
        yield list(zip([item.index for item in items[own]], named, strict=True))
        done += len(loaded)


def _line(job: Job, index: int, answer: Prediction) -> str:
    record = job.writer.record(answer, job.how.maps)
    return json.dumps({"index": index, **record}, separators=(",", ":"))
