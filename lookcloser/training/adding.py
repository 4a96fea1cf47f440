"""More images, and new classes, for a closed-form model, without the images it has learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.closed_form import Memory
from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import named
from lookcloser.data.catalog import Catalog
from lookcloser.models import CAM, Package, load_package, save_package
from lookcloser.training.closed_form import solve, with_head
from lookcloser.training.features import collect_features


@dataclass(frozen=True)
class Added:
    """What was added to a model.

    Attributes:
        images: How many, of the train split.
        new: Names that the model did not know.
        total: All images that the model has learned from.
        skipped: Images that could not be read: name -> reason.
        package: The new header.
    """

    images: int
    new: tuple[str, ...]
    total: int
    skipped: dict[str, str]
    package: Package


def add_images(file: Path, catalog: Catalog, out: Path) -> Added:
    """Solve a model's head anew with more images, and write it.

    The result is that of a training with all images at once.

    Args:
        file: A model that was solved in closed form.
        catalog: Its train split is added; labels may be known or new.
        out: Where the model is written; may be ``file``.

    Raises:
        LookcloserError: For a model without a closed form, data for another task or without a
            train split, and where no image can be read.
    """
    model, package = load_package(file)
    if not isinstance(model, CAM) or model.solution is None:
        raise LookcloserError(
            f"{file}: a trained head, to which nothing can be added",
            fix="Only a model of `lookcloser train --recipe closed-form` remembers its images",
        )
    if catalog.task != package.task:
        raise LookcloserError(
            f"{catalog.root}: a data set for {catalog.task}",
            allowed=f"This model answers {package.task}.",
        )
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(memory_format=torch.channels_last)
    samples = sorted(catalog.split("train"), key=lambda sample: sample.name)
    known = sorted({label for sample in samples for label in sample.labels})
    names = joined_names(package.names, known)
    new = tuple(name for name in known if name not in set(package.names))
    found = collect_features(model, samples, known, catalog.task, package.preprocessing)
    memory = model.solution.memory().added(
        Memory.of(found.values, found.labels),
        _columns(package.names, names),
        _columns(known, names),
    )
    missing = [name for name, images in zip(names, memory.per_label, strict=True) if not images]
    if missing and catalog.task == "classification":
        raise LookcloserError(f"{catalog.root}: no image of {named(missing)} can be read")
    balanced = bool(package.provenance.get("balanced", False))
    head = solve(memory, package.task, balanced=balanced)
    model, package = with_head(model, package, memory, head, names)
    save_package(out, model.state_dict(), package)
    return Added(len(found.values), new, memory.count, found.skipped, package)


def joined_names(before: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """The names of both, in the order in which one training with all of them would have them.

    Sorted where ``before`` is, as the names of folders and tables are; new ones at the end where
    another order came with the data.
    """
    new = [name for name in more if name not in set(before)]
    joined = [*before, *sorted(new)]
    return tuple(sorted(joined)) if list(before) == sorted(before) else tuple(joined)


def _columns(names: Sequence[str], joined: Sequence[str]) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(joined)}
    return np.array([index[name] for name in names], dtype=np.int64)
