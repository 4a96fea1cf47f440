"""What a data set is to the rest of the package: samples with answers, splits and names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookcloser.core.archives import Packed
from lookcloser.core.choices import Task
from lookcloser.core.errors import unknown
from lookcloser.core.types import Box

ALL = "all"
"""In the place of a split: every image."""


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One image with what is known about it.

    Attributes:
        name: Its path inside the data set, "/" between names; splits are hashed from it.
        source: The file, its place in an archive, or the pixels as uint8 (H, W) or (H, W, 3).
        labels: One for classification, any number of tags for multilabel.
        captions: Sentences.
        boxes: (label or None, (x0, y0, x1, y1)) in pixels of the original image, x1 and y1
            exclusive. For scoring only, never for training.
        split: "train", "val" or "test"; None until splits are made.
    """

    name: str
    source: Path | Packed | NDArray[np.uint8]
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    boxes: tuple[tuple[str | None, Box], ...] = ()
    split: str | None = None

    @property
    def stored_bytes(self) -> int:
        """Bytes of the file or of the array; 0 where there is no file, or an empty one."""
        if isinstance(self.source, Packed):
            return self.source.size
        if isinstance(self.source, Path):
            try:
                return self.source.stat().st_size
            except OSError:
                return 0
        return int(self.source.nbytes)

    def boxes_of(self, label: str) -> tuple[Box, ...]:
        """The true boxes of a label; one without a name belongs to the only label there is."""
        only = len(self.labels) == 1
        return tuple(
            box
            for name, box in self.boxes
            if name == label or (name is None and only and label == self.labels[0])
        )


@dataclass(frozen=True, eq=False)
class Catalog:
    """A data set as it was understood.

    Attributes:
        root: The folder that the names of the samples are relative to.
        layout: The kind of layout it was recognized as.
        task: "classification", "multilabel" or "captioning".
        names: Class names by index; empty for captioning.
        samples: Every image.
        skipped: (name, reason) of what was left out because it was asked to.
        notes: Sentences about how the data was understood.
        parents: Of classes in a hierarchy: class or group -> the group above it. Groups at the top
            have no entry; empty where classes have no groups.
        tables: Of a table layout the tables that were read, by their paths below ``root``.
        made: The splits that the data does not bring along; "train" is one where it has none.
    """

    root: Path
    layout: str
    task: Task
    names: tuple[str, ...]
    samples: tuple[Sample, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the data set is called: as its folder is, also where that was given as "."."""
        return self.root.resolve().name or "data"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits there are, in the order train, val, test."""
        present = {sample.split for sample in self.samples}
        return tuple(split for split in ("train", "val", "test") if split in present)

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split, in the order of `samples`; "all" is every image.

        Raises:
            LookcloserError: If there is no such split; names those there are.
        """
        if name == ALL:
            return self.samples
        if name not in self.splits:
            raise unknown(name, f"split of {self.root}", self.splits)
        return tuple(sample for sample in self.samples if sample.split == name)

    @property
    def scored(self) -> str:
        """The split that is scored where none is named: test, else val, else what there is."""
        return next(reversed(self.splits), ALL)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and class: ``{split: {name: n}}``, zeros included."""
        found = Counter((sample.split, name) for sample in self.samples for name in sample.labels)
        return {split: {name: found[split, name] for name in self.names} for split in self.splits}
