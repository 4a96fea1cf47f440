"""`predict_source`: any number of images, answered once each, however often it is broken off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lookcloser.batch.answering import Tell
from lookcloser.batch.folder import Finished, Folder, Manifest
from lookcloser.batch.job import Job
from lookcloser.batch.on_ray import check_ray, on_ray
from lookcloser.batch.processes import in_processes, in_this_process
from lookcloser.batch.sources import Part, parts
from lookcloser.core.errors import LookcloserError, UsageError, unknown
from lookcloser.core.storage.atomic import write_text
from lookcloser.core.storage.locks import LOCK_FILE, only_one
from lookcloser.runtime import Answerer

ENGINES = ("plain", "ray")
MANIFEST, SUMMARY = "manifest-", "summary.json"
PART_IMAGES = 1000


class Share(NamedTuple):
    """Which of several processes that share a source this is: ``number`` of ``of``, from 1."""

    number: int = 1
    of: int = 1

    def has(self, number: int) -> bool:
        """Whether the part of that number is for this one."""
        return number % self.of == self.number - 1


WHOLE = Share()


@dataclass(frozen=True)
class BatchResult:
    """What a batch came to.

    Attributes:
        out: The folder of the answers.
        images: Of the source, or of this share of it.
        failed: How many of them could not be read.
        resumed: How many were done before.
        complete: Whether the whole source is answered, all shares of it.
    """

    out: Path
    images: int
    failed: int
    resumed: int
    complete: bool


class _Plan(NamedTuple):
    """What a look at the source showed: images of this share, those done, and parts of all."""

    images: int
    done: int
    parts: int


def predict_source(
    job: Job,
    sources: Sequence[str],
    *,
    engine: str = "plain",
    processes: int | None = None,
    ray_address: str | None = None,
    share: Share = WHOLE,
    part_images: int = PART_IMAGES,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> BatchResult:
    """Answer all images of a source into a folder; given again, it goes on where it was.

    Memory does not grow with the number of images. Each image is in exactly one part, and each part
    is written at once, so whatever dies, no answer is lost, doubled or torn.

    Args:
        job: The network, how it answers, and where the answers go.
        sources: See `lookcloser.batch.sources.images_of`.
        engine: "plain", this machine; "ray", a cluster of Ray.
        processes: Each with a network of its own; None: one, or with Ray as many as the cluster has
            cores or GPUs.
        ray_address: Of a cluster of Ray that is there; None starts one on this machine.
        share: Of several that work on the same source, into the same folder.
        part_images: Images of a part, which is one file.
        progress: Called with (done, total) images of this share.

    Raises:
        LookcloserError: For a source, a network or a folder that will not do, where the folder was
            begun with another model, source or option, and where writing fails; what is done stays.
    """
    _check(job, engine, processes, ray_address, share, part_images)
    answerer, folder = _opened(job)
    folder.begin(_settings(job, answerer, sources, part_images))
    name = f"{share.number}-of-{share.of}"
    with only_one(folder.path, "another batch", f"{LOCK_FILE}-{name}"):
        manifest = Manifest(folder.path / f"{MANIFEST}{name}.jsonl")
        plan = _planned(folder, sources, share, part_images)
        done = plan.done

        def tell(images: int) -> None:
            nonlocal done
            done += images
            progress(min(done, plan.images), plan.images)

        progress(done, plan.images)
        todo = (
            part
            for part in parts(sources, part_images)
            if share.has(part.number) and not folder.file(part).exists()
        )
        for new in _answered(job, answerer, todo, engine, processes, ray_address, tell):
            manifest.add(new)
            if engine == "ray":  # which tells of whole parts
                tell(new.images)
        return _closed(folder, plan, share, manifest)


def check_source(
    job: Job,
    sources: Sequence[str],
    *,
    engine: str = "plain",
    processes: int | None = None,
    ray_address: str | None = None,
    share: Share = WHOLE,
    part_images: int = PART_IMAGES,
) -> int:
    """How many images `predict_source` would answer with these arguments; nothing is written.

    Raises:
        LookcloserError: For what it refuses before it answers.
    """
    _check(job, engine, processes, ray_address, share, part_images)
    answerer, folder = _opened(job)
    folder.check(_settings(job, answerer, sources, part_images))
    plan = _planned(folder, sources, share, part_images)
    return plan.images - plan.done


def _opened(job: Job) -> tuple[Answerer, Folder]:
    """The network, after it has shown that it can do what is asked, and where its answers go."""
    answerer = job.answerer()
    answerer.check(top=job.how.top, coverage=job.how.coverage, sets=job.how.sets)
    return answerer, Folder(job.out, job.writer)


def _answered(
    job: Job,
    answerer: Answerer,
    todo: Iterator[Part],
    engine: str,
    processes: int | None,
    ray_address: str | None,
    tell: Tell,
) -> Iterator[Finished]:
    if engine == "ray":
        return on_ray(job, processes, ray_address, todo)
    if processes in {None, 1}:
        return in_this_process(job, answerer, todo, tell)
    return in_processes(job, processes or 1, todo, tell)


def _check(
    job: Job,
    engine: str,
    processes: int | None,
    ray_address: str | None,
    share: Share,
    part_images: int,
) -> None:
    if engine not in ENGINES:
        raise unknown(engine, "engine", ENGINES)
    job.writer.check()
    if engine == "ray":
        check_ray(job.form)
    elif ray_address is not None:
        raise UsageError(f"{{}} {ray_address}: needs --engine ray", option="ray_address")
    for option, value in (("processes", processes), ("part_images", part_images)):
        if value is not None and value < 1:
            raise UsageError(f"{{}} {value}: not possible", allowed="1 or more", option=option)
    if not 1 <= share.number <= share.of:
        raise UsageError(
            f"{{}} {share.number}/{share.of}: not possible",
            allowed="1/4 to 4/4 for four processes",
            option="shard",
        )


def _settings(
    job: Job, answerer: Answerer, sources: Sequence[str], part_images: int
) -> dict[str, object]:
    """What has to be the same for a folder to be gone on with."""
    return {
        "model": answerer.engine.fingerprint(),
        "source": list(sources),
        "format": job.form,
        **job.how.answers,
        "images of a part": part_images,
    }


def _planned(folder: Folder, sources: Sequence[str], share: Share, part_images: int) -> _Plan:
    """Go through the source once, before anything is answered.

    Raises:
        LookcloserError: If a part that is there answers for other images.
    """
    there, images, done, number = folder.digests(), 0, 0, -1
    for part in parts(sources, part_images):
        number, digest = part.number, there.pop(part.number, None)
        if digest is not None and digest != part.digest:
            first, last = part.items[0].index, part.items[-1].index
            raise _changed(folder, f"images {first:,} to {last:,} are others")
        if share.has(part.number):
            images += len(part.items)
            done += len(part.items) if digest else 0
    if there:
        raise _changed(folder, f"part {min(there)} is answered, and no image of it is left")
    return _Plan(images, done, number + 1)


def _changed(folder: Folder, how: str) -> LookcloserError:
    return LookcloserError(
        f"{folder.path}: the source has changed since it was begun ({how})",
        fix="Restore it, or choose another --out",
    )


def _closed(folder: Folder, plan: _Plan, share: Share, manifest: Manifest) -> BatchResult:
    """The sum of all parts that are there; of the whole source, once it is answered."""
    known = {k: v for path in folder.path.glob(f"{MANIFEST}*") for k, v in Manifest.read(path)}
    for number, digest in sorted(folder.digests().items()):
        if number not in known:  # a kill came between the part and its line
            known[number] = folder.counted(number, digest)
            if share.has(number):
                manifest.add(known[number])
    complete = len(known) == plan.parts
    if complete:
        sums = {name: sum(getattr(one, name) for one in known.values())
                for name in ("images", "failed")}  # fmt: skip
        write_text(folder.path / SUMMARY, json.dumps({**sums, "parts": plan.parts}) + "\n")
        folder.sweep()
    failed = sum(one.failed for one in known.values() if share.has(one.number))
    return BatchResult(folder.path, plan.images, failed, plan.done, complete)
