"""Right for the wrong reason? Every class looked at, re-tested and ranked, without any box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from lookcloser.auditing.building import Zones, build, measure
from lookcloser.auditing.collect import Collected, choose, collect
from lookcloser.auditing.retest import MEASURES, retest
from lookcloser.auditing.sameness import ring
from lookcloser.auditing.scoring import EXPLAINED, LIMITS, judge
from lookcloser.auditing.shares import Floats, densities
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.header import ModelHeader, check_known
from lookcloser.core.results.audit import Audit
from lookcloser.core.wording import count
from lookcloser.data import Catalog, Sample, read_to_score
from lookcloser.data.targets import ClassTargets
from lookcloser.inference.engine import TorchEngine
from lookcloser.inference.split_loop import SplitBatch, run_split

FEWEST = 8  # images; of fewer nothing can be said to stay the same
PER_CLASS = 50


def audit(
    engine: TorchEngine,
    data: str | Path | Catalog,
    split: str = "test",
    *,
    per_class: int = PER_CLASS,
    seed: int = 0,
    batch_size: int = 32,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Find classes that are right for the wrong reason: a mark, a background, a frame.

    Two passes over the images: the first looks at the evidence and at what stays the same in each
    class; the second asks again with parts of the images gone, kept alone, or carried into
    images of other classes. Nine forward passes for each image in all.

    Args:
        engine: A network for classes, with class maps.
        data: A data set of any layout, or a `Catalog`. No box of it is used.
        split: Which part of it.
        per_class: Images of each class at most.
        seed: Of the choice of images, and of which ones are put together.
        batch_size: Images per forward pass.
        workers: Loading processes.
        progress: Called with (done, total) forward passes of single images.

    Raises:
        LookcloserError: For data that cannot be read, tags and captions, fewer than two classes
            with `FEWEST` images, and a method without maps.
    """
    header = engine.header
    catalog = data if isinstance(data, Catalog) else read_to_score(data, header)
    samples = audited_samples(header, catalog, split, per_class, seed)
    total = (1 + len(MEASURES)) * len(samples)

    def told(base: int, passes: int) -> Callable[[int], None]:
        """Tells how far it is, of how many images have had ``passes`` more than ``base``."""
        return lambda images: None if progress is None else progress(base + passes * images, total)

    how: dict[str, Any] = {"batch_size": batch_size, "workers": workers}
    found = collect(engine, samples, progress=told(0, 1), **how)
    detail = found.same.detail()
    marks = mark_zones(detail)
    seen = told(len(samples), len(MEASURES))
    scores = _retested(engine, samples, found, marks, progress=seen, **how)
    audited = [c for c in np.unique(found.classes) if (found.classes == c).sum() >= FEWEST]
    density = densities(found.maps)
    color, chance = found.same.color(), found.same.chance()
    measures = [
        measure(found.classes == c, density, marks[c], scores)
        | {
            "same detail": float(detail[c].max()),
            "chance detail": float(chance[c]),
            "same border color": float(np.median(color[c][ring()])),
        }
        for c in audited
    ]
    looked = [
        build(samples, found, density, header, int(c), row, verdict, marks[c])
        for c, row, verdict in zip(audited, measures, judge(measures), strict=True)
    ]
    left_out = [header.names[c] for c in range(len(header.names)) if c not in audited]
    return Audit(
        split=split,
        classes=tuple(sorted(looked, key=lambda one: (-one.suspicion, one.name))),
        explained=EXPLAINED,
        settings=_settings(found, split, per_class, seed, left_out),
        skipped=found.skipped,
    )


def mark_zones(detail: Floats) -> Zones:
    """Per class the cells whose detail stays the same: (C, g, g) -> (C, g, g).

    All that reach half of the limit and half of the class's highest; where there are none, the
    highest alone.
    """
    highest = detail.max(axis=(1, 2), keepdims=True)
    zones: Zones = detail >= np.maximum(highest / 2, LIMITS["same detail"] / 2)
    zones |= (detail == highest) & ~zones.any(axis=(1, 2), keepdims=True)
    return zones


def audited_samples(
    header: ModelHeader, catalog: Catalog, split: str, per_class: int = PER_CLASS, seed: int = 0
) -> list[Sample]:
    """The images that `audit` looks at; arguments as there.

    Raises:
        LookcloserError: For tags and captions, a class that the model does not know, and fewer
            than two classes with `FEWEST` images.
    """
    if header.task != "classification" or catalog.task != "classification":
        raise LookcloserError(
            f"{header.task} on data for {catalog.task}: cannot be audited",
            allowed="A model for classes and data with one class for each image",
        )
    samples = catalog.split(split)
    check_known((sample.labels[0] for sample in samples), header)
    counts = Counter(sample.labels[0] for sample in samples)
    enough = sum(number >= FEWEST for number in counts.values())
    if per_class < FEWEST:
        raise UsageError(
            f"{{}} {per_class}: too few to compare",
            allowed=f"a whole number, {FEWEST} or more",
            option="per_class",
        )
    if enough < 2:
        every = Counter(sample.labels[0] for sample in catalog.samples)
        raise LookcloserError(
            f"{catalog.root}: {count(enough, 'class')} with {FEWEST} images in split {split}",
            allowed=f"at least two classes with {FEWEST} images",
            fix="{} all takes the images of every split"
            if sum(number >= FEWEST for number in every.values()) > 1
            else "Collect more images of each class",
            option="split",
        )
    return choose(samples, per_class, seed)


def _retested(
    engine: TorchEngine,
    samples: Sequence[Sample],
    found: Collected,
    marks: Zones,
    *,
    batch_size: int,
    workers: int,
    progress: Callable[[int], None],
) -> Floats:
    """(N, 8) scores of `retest` for the rows of ``found``."""
    names, size = engine.header.names, engine.header.preprocessing.size

    def grown(zones: Zones) -> torch.Tensor:
        cells = torch.from_numpy(zones[:, None]).float()
        return F.interpolate(cells, size, mode="nearest").bool().to(engine.device)

    frame = grown(ring()[None])
    place = {row: number for number, row in enumerate(found.rows.tolist())}
    scores = np.full((len(found.rows), 8), np.nan)

    def ask(batch: SplitBatch) -> torch.Tensor:
        rows = [place[row] for row in batch.rows]
        return retest(
            engine.model,
            batch.images,
            batch.targets.to(engine.device),
            torch.from_numpy(found.maps[rows]).to(engine.device),
            grown(marks[batch.targets.numpy()]),
            frame,
        )

    for batch, answers in run_split(
        engine,
        samples,
        ClassTargets(names),
        ask,
        [],
        batch_size=batch_size,
        workers=workers,
        progress=progress,
    ):
        scores[[place[row] for row in batch.rows]] = answers.double().cpu().numpy()
    return scores


def _settings(
    found: Collected, split: str, per_class: int, seed: int, left_out: Sequence[str]
) -> dict[str, str]:
    settings = {
        "images": f"{len(found.rows)} of split {split}, at most {per_class} a class, seed {seed}",
        "limits": ", ".join(f"{name} {value:g}" for name, value in LIMITS.items()),
        "boxes": "none are used",
    }
    if left_out:
        settings["left out"] = f"fewer than {FEWEST} images: {', '.join(left_out)}"
    return settings
