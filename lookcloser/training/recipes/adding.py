"""More images, and new classes, for a closed-form model, without the images it has learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lookcloser.closed_form import Memory
from lookcloser.core.errors import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.wording import named
from lookcloser.data.catalog import Catalog
from lookcloser.models import load_model_file, save_model_file
from lookcloser.models.backbone import in_channels_last
from lookcloser.models.cam.model import CAM
from lookcloser.runtime.groups import groups_above
from lookcloser.training.recipes.closed_form import solve, with_head
from lookcloser.training.recipes.features import collect_features

ADDED = "added"  # in the provenance: how often something was


@dataclass(frozen=True)
class Added:
    """What was added to a model.

    Attributes:
        images: How many, of the train split; those that it knew do not count again.
        again: How many it knew already, with the same labels, or came twice.
        new: Names that the model did not know.
        alike: What is new of names and groups, and differs from a known one in case only, with that
            one.
        total: All images that the model has learned from.
        skipped: Images that could not be read: name -> reason.
        header: The new header.
    """

    images: int
    again: int
    new: tuple[str, ...]
    alike: tuple[tuple[str, str], ...]
    total: int
    skipped: dict[str, str]
    header: ModelHeader


def add_images(file: Path, catalog: Catalog, out: Path) -> Added:
    """Solve a model's head again with more images, and write it.

    The result is that of a training with all images at once.

    Args:
        file: A model that was solved in closed form.
        catalog: Its train split is added; labels may be known or new.
        out: Where the model is written; may be ``file``.

    Raises:
        LookcloserError: For a model without a closed form, data for another task, without a train
            split or with classes in other groups, and where no image can be read.
    """
    model, header = load_model_file(file)
    if isinstance(model, CAM) and model.closer is not None:
        raise LookcloserError(
            f"{file}: looks twice, and keeps no features to which more could be added",
            fix="Train it again with all images, or train one that can grow: "
            "`--recipe closed-form --zoom off`",
        )
    if not isinstance(model, CAM) or model.solution is None:
        raise LookcloserError(
            f"{file}: a trained head, to which nothing can be added",
            fix="Only a model of `lookcloser train --recipe closed-form` remembers its images",
        )
    if catalog.task != header.task:
        raise LookcloserError(
            f"{catalog.root}: a data set for {catalog.task}",
            allowed=f"This model answers {header.task}.",
        )
    _check_groups(header, catalog)
    before = model.solution.memory()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    model = in_channels_last(model)
    samples = sorted(catalog.split("train"), key=lambda sample: sample.name)
    known = sorted({label for sample in samples for label in sample.labels})
    names = joined_names(header.names, known)
    new = tuple(name for name in known if name not in set(header.names))
    groups = _groups_of(known, catalog.parents)
    alike = _alike([*known, *groups, *groups.values()], header)
    found = collect_features(model, samples, known, catalog.task, header.preprocessing)
    memory = before.added(
        Memory.of(found.values, found.labels),
        _columns(header.names, names),
        _columns(known, names),
    )
    missing = [name for name, images in zip(names, memory.per_label, strict=True) if not images]
    if missing and catalog.task == "classification":
        raise LookcloserError(f"{catalog.root}: no image of {named(missing)} can be read")
    balanced = bool(header.provenance.get("balanced", False))
    head = solve(memory, header.task, balanced=balanced)
    model, header = with_head(model, header, memory, head, names)
    provenance = {**header.provenance, ADDED: int(header.provenance.get(ADDED, 0)) + 1}
    parents = _groups_of(names, {**header.parents, **catalog.parents})
    header = replace(header, parents=parents, provenance=provenance)
    save_model_file(out, model.state_dict(), header)
    images = memory.count - before.count
    again = len(found.values) - images
    return Added(images, again, new, alike, memory.count, found.skipped, header)


def _check_groups(header: ModelHeader, catalog: Catalog) -> None:
    """Raise where a class or group of the data is not, or not where, it is in the model."""
    known = header.parents
    for name, group in catalog.parents.items():
        if known.get(name, group) != group:
            raise LookcloserError(
                f"{catalog.root}: {name!r} is in the group {group!r}, in the model in "
                f"{known[name]!r}",
                fix="Put it into the same group, or its images into no group folder",
            )
    groups, names = set(known.values()), set(header.names)  # a name may be both in a file's tree
    for name in sorted(set(catalog.names) & groups - names):
        raise LookcloserError(
            f"{catalog.root}: {name!r} is a class, in the model a group of classes",
            fix="Put its images into folders of classes below it, or give the class another name",
        )
    for name in sorted(set(catalog.parents.values()) & names - groups):
        raise LookcloserError(
            f"{catalog.root}: {name!r} is a group of classes, in the model a class",
            fix="Give the group another name",
        )


def _groups_of(names: Iterable[str], parents: Mapping[str, str]) -> dict[str, str]:
    """Of these classes and of the groups above them: the group above each."""
    chains = (child for name in names for child in (name, *groups_above(name, parents)))
    return {child: parents[child] for child in chains if child in parents}


def _alike(given: Iterable[str], header: ModelHeader) -> tuple[tuple[str, str], ...]:
    """Names and groups that a model does not know, with those that it knows in another case."""
    known = {*header.names, *header.parents.values()}
    others = {name.casefold(): name for name in sorted(known, reverse=True)}
    new = sorted(set(given) - known)
    return tuple((name, others[name.casefold()]) for name in new if name.casefold() in others)


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
