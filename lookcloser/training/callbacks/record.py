"""What a run was trained on, so that a resumed one notices other data. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.atomic import write_text
from lookcloser.core.wording import count, some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.training.files import DATA_FILE


@dataclass(frozen=True)
class Split:
    """The images of one split.

    Attributes:
        images: How many.
        digest: Of their names, sizes in bytes, labels and captions, in any order.
    """

    images: int
    digest: str


@dataclass(frozen=True)
class Record:
    """A data set as a training saw it; small, however large that is.

    Attributes:
        task: What is learned.
        names: Class names by index; empty for captions.
        splits: Those that are trained and validated on.
    """

    task: str
    names: tuple[str, ...]
    splits: dict[str, Split] = field(default_factory=dict)


def record_of(catalog: Catalog) -> Record:
    """The record of ``catalog`` as its files are now."""
    splits: list[str] = [split for split in ("train", "val") if split in catalog.splits]
    found = {split: _split(catalog.split(split)) for split in splits}
    return Record(catalog.task, tuple(catalog.names), found)


def write_record(folder: Path, record: Record) -> None:
    """Keep it in a run, atomically."""
    write_text(folder / DATA_FILE, json.dumps(asdict(record), indent=1) + "\n")


def read_record(folder: Path) -> Record | None:
    """That of a run; None where it has none that can be read."""
    try:
        values = json.loads((folder / DATA_FILE).read_text(encoding="utf-8"))
        splits = {
            name: Split(int(split["images"]), str(split["digest"]))
            for name, split in values["splits"].items()
        }
        return Record(str(values["task"]), tuple(map(str, values["names"])), splits)
    except (
        *(OSError, ValueError, KeyError, TypeError),
        *(AttributeError, OverflowError, RecursionError),
    ):
        return None


def compare(folder: Path, before: Record, now: Record) -> list[str]:
    """What is to be said of the difference between two records, a sentence each.

    Raises:
        LookcloserError: If the classes are others: the outputs of the network have their meaning
            from them.
    """
    said = "the data has changed since the run was started"
    fix = (
        "Make the data what it was, or begin a new run from this one's weights: "
        f"`lookcloser train DATA --weights {shlex.quote(str(folder))}`"
    )
    if before.task != now.task:
        raise LookcloserError(
            f"{folder}: {said} (it is for {now.task}, was for {before.task})",
            fix=fix,
        )
    if before.names != now.names:
        raise LookcloserError(
            f"{folder}: {said} ({_other_names(before.names, now.names)})",
            fix=fix,
        )
    if not before.splits:  # of an older run only the classes are known
        return []
    changes = []
    for name in dict.fromkeys([*before.splits, *now.splits]):
        old, new = before.splits.get(name), now.splits.get(name)
        if old == new:
            continue
        images, were = (0 if split is None else split.images for split in (new, old))
        if images != were:
            verb = "was" if were == 1 else "were"
            changes.append(f"{name}: {count(images, 'image')}, {verb} {were:,}")
        else:
            changes.append(f"{name}: as many images, but other files or labels")
    if not changes:
        return []
    return [
        f"The data has changed since the run was started ({'; '.join(changes)}): "
        "the result will not be that of an undisturbed run"
    ]


def _other_names(before: Sequence[str], now: Sequence[str]) -> str:
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    parts = [f"{count(len(now), 'class')}, {'was' if len(before) == 1 else 'were'} {len(before)}"]
    parts += [f"gone: {some(gone, 'class')}"] if gone else []
    parts += [f"new: {some(new, 'class')}"] if new else []
    if not gone and not new:
        parts = ["the classes are in another order"]
    return "; ".join(parts)


def _split(samples: Iterable[Sample]) -> Split:
    digest, images = 0, 0
    for sample in samples:
        content = [sample.name, sample.stored_bytes, sorted(sample.labels), list(sample.captions)]
        line = json.dumps(content).encode()
        # A sum does not depend on the order, in which tables and file systems are free.
        digest += int.from_bytes(hashlib.blake2b(line, digest_size=16).digest(), "big")
        images += 1
    return Split(images, f"{digest % 2**128:032x}")
