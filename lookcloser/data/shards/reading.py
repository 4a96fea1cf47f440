"""Shards as a catalog: every image is found by its place, so any order can be read at any time."""

from __future__ import annotations

import itertools
import json
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from lookcloser.core.archives import Packed
from lookcloser.core.archives.members import members
from lookcloser.core.choices import TRAITS, Task
from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import count, named
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.shards.form import (
    FORMAT,
    INDEX,
    LARGEST_JSON,
    TASKS,
    archives_in,
    boxes_of,
    is_photo_name,
    read_json,
    split_of,
    texts,
)

LAYOUT = "WebDataset shards"
_ANSWERS = {"json", "cls", "txt"}
_LARGEST_TEXT = 1 << 16
# What taking JSON for an index raises where it is something else.
_NOT_AN_INDEX = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
)


class Member(NamedTuple):
    """An image in a shard with the small files of the same key beside it.

    Attributes:
        image: The image.
        beside: The files by their ending.
        others: Of the same key in other formats, such as ``1.png`` beside ``1.jpg``.
    """

    image: Packed
    beside: Mapping[str, Packed]
    others: tuple[Packed, ...] = ()


@dataclass(frozen=True)
class _Index:
    """What `INDEX` says of all shards."""

    task: Task
    names: tuple[str, ...]
    parents: Mapping[str, str]
    images: Mapping[str, int]


def recognizes(root: Path) -> bool:
    """Whether there are shards, or the index of some, by the names of the files."""
    return bool(archives_in(root)) or (root / INDEX).is_file()


def images_in(archive: Path) -> Iterator[Member]:
    """The images of a shard in their order, each with what stands beside it.

    Members of one key follow each other, as WebDataset has it: the key is a name up to its first
    dot. Of a key with ``1.jpg`` and ``1.seg.png`` the former is the image, and others are passed
    over; ``1.a.jpg`` and ``1.b.jpg`` are two, each with what has the same name up to its last dot.

    Raises:
        LookcloserError: As `lookcloser.core.archives.members`.
    """
    for _, own in itertools.groupby(members(archive), lambda member: _split(member)[:2]):
        yield from _of_a_key(list(own))


def _split(member: Packed) -> tuple[str, str, str]:
    """Folder, key and ending of a member."""
    folder, _, file = member.name.rpartition("/")
    key, _, ending = file.partition(".")
    return folder, key, ending


def _of_a_key(own: list[Packed]) -> Iterator[Member]:
    photos = [member for member in own if is_photo_name(member.name)]
    plain = [member for member in photos if "." not in _split(member)[2]]
    if plain or len(photos) == 1:
        first, *others = plain or photos
        folder, key, _ = _split(first)
        stems = {_stem(first), f"{folder}/{key}" if folder else key}
        yield Member(first, _answers(own, stems), tuple(others))
    else:
        yield from (Member(photo, _answers(own, {_stem(photo)})) for photo in photos)


def _answers(own: Iterable[Packed], stems: Collection[str]) -> dict[str, Packed]:
    """The small files of these names by their ending."""
    named = ((member.name.rpartition(".")[2].lower(), member) for member in own)
    return {end: one for end, one in named if end in _ANSWERS and _stem(one) in stems}


def _stem(member: Packed) -> str:
    return member.name.rpartition(".")[0]


def read(root: Path, _skip_missing: bool) -> Catalog:
    """The catalog of a folder of shards, or of one.

    Raises:
        LookcloserError: For damaged shards, images without an answer, and a folder that lacks some
            of the shards that its index names.
    """
    archives = archives_in(root)
    folder = root if root.is_dir() else root.parent
    index = _read_index(folder) if root.is_dir() else None
    found: list[tuple[str, Sample, Task | None]] = []
    others = 0
    for archive in archives:
        images = list(images_in(archive))
        others += sum(len(member.others) for member in images)
        own = [_sample(member) for member in images]
        found += own
        number = len(own)
        if index is not None and index.images.get(archive.name, number) != number:
            raise LookcloserError(
                f"{archive}: {count(number, 'image')}, and {INDEX} says "
                f"{index.images[archive.name]:,}",
                fix="Copy it again",
            )
    _check_complete(folder, index, archives)
    if not found:
        raise LookcloserError(
            f"{root}: no images in {count(len(archives), 'archive')}",
            allowed="Images beside .json, .cls or .txt of the same name",
        )
    if index is not None:  # written in another order, so that readers in sequence see a mixture
        found.sort(key=lambda entry: entry[0])
    samples = tuple(sample for _, sample, _ in found)
    task = index.task if index is not None else _task({of for *_, of in found}, samples)
    if TRAITS[task].labels == "words":  # what else an image may be called is not asked for
        samples = tuple(replace(sample, labels=()) for sample in samples)
    names = index.names if index is not None else _names(task, samples)
    parents = index.parents if index is not None else {}
    _check_answers(task, names, samples)
    notes = [f"Read in place from {count(len(archives), 'shard')}"]
    if others:
        notes.append(f"{count(others, 'image')} passed over: not the first one of its name")
    return Catalog(folder, LAYOUT, task, names, samples, notes=tuple(notes), parents=parents)


def _sample(member: Member) -> tuple[str, Sample, Task | None]:
    """The key of an image, its sample, and its task where that is said."""
    image, beside, _ = member
    key = posixpath.basename(image.name).partition(".")[0]
    if "json" in beside:
        values = read_json(beside["json"])
        where = beside["json"]
        told = values.get("task")
        labels, captions = texts(values, "labels", where), texts(values, "captions", where)
        if not labels and not captions and told is None:
            labels, captions = _plain_answer(beside)
        name = _name(values.get("name"), image)
        sample = Sample(
            name, image, labels, captions, boxes_of(values, where), split_of(values, where)
        )
        return key, sample, told if told in TASKS else None
    labels, captions = _plain_answer(beside)
    if not labels and not captions:
        raise LookcloserError(
            f"{image}: no answer beside it", allowed=".json, .cls or .txt of the same name"
        )
    return key, Sample(_name(None, image), image, labels, captions), None


def _plain_answer(beside: Mapping[str, Packed]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels from .cls, captions from .txt."""
    label = _text(beside["cls"]) if "cls" in beside else ""
    caption = _text(beside["txt"]) if "txt" in beside and not label else ""
    return (label,) if label else (), (caption,) if caption else ()


def _text(member: Packed) -> str:
    if member.size > _LARGEST_TEXT:
        raise LookcloserError(
            f"{member}: {member.size:,} bytes", allowed=f"At most {_LARGEST_TEXT}"
        )
    try:
        return member.read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise LookcloserError(f"{member}: not UTF-8 text") from error


def _name(told: Any, image: Packed) -> str:
    """The name of a sample; one that leads out of a folder could name files beside the shards.

    Raises:
        LookcloserError: For such a name.
    """
    name = told if isinstance(told, str) else f"{image.archive.name}/{image.name}"
    plain = posixpath.normpath(name.replace("\\", "/"))
    if plain.startswith(("/", "../")) or plain in {".", ".."} or "\0" in plain:
        raise LookcloserError(
            f"{image}: its name '{name}' leads out of the data set", fix="Write the shards again"
        )
    return plain


def _read_index(folder: Path) -> _Index | None:
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST_JSON * 256:
            raise ValueError("too large")
        values = json.loads(path.read_bytes())
        if values["format"] > FORMAT or values["task"] not in TASKS:
            raise ValueError("of a newer version")
        names, parents = texts(values, "names", path), values["parents"]
        if not all(isinstance(parent, str) for parent in parents.values()):
            raise ValueError("a group that is no text")
        images = {str(shard["file"]): int(shard["count"]) for shard in values["shards"]}
        complete = bool(values["complete"])
    except _NOT_AN_INDEX as error:
        raise LookcloserError(f"{path}: cannot be read ({error})", fix="Copy it again") from error
    if not complete:
        raise LookcloserError(
            f"{folder}: its shards were not written to the end",
            fix="Give the command `lookcloser data shard` again",
        )
    return _Index(values["task"], names, parents, images)


def _check_complete(folder: Path, index: _Index | None, archives: Iterable[Path]) -> None:
    if index is None:
        return
    missing = sorted(set(index.images) - {archive.name for archive in archives})
    if missing:
        raise LookcloserError(
            f"{folder}: {missing[0]} is not there ({len(missing)} of {len(index.images)} shards)",
            fix="Copy it again; to go on with the others remove " + INDEX,
        )


def _task(told: set[Task | None], samples: tuple[Sample, ...]) -> Task:
    """As all samples say, else by what they have."""
    if len(told) == 1 and None not in told:
        (task,) = told
        assert task is not None  # just excluded
        return task
    if any(sample.captions for sample in samples):
        return "captioning"
    single = all(len(sample.labels) == 1 for sample in samples)
    return "classification" if single else "multilabel"


def _check_answers(task: Task, names: Iterable[str], samples: Iterable[Sample]) -> None:
    """As training and scoring rely on them."""
    known = set(names)
    for sample in samples:
        labels = sample.labels
        if TRAITS[task].labels == "one" and len(labels) != 1:
            raise LookcloserError(
                f"{sample.source}: {count(len(labels), 'label')}", allowed=f"One, for {task}"
            )
        if not known.issuperset(labels):
            raise LookcloserError(
                f"{sample.source}: {named(sorted({*labels} - known))} is not among the names of "
                f"{INDEX}",
                fix="Write the shards again",
            )


def _names(task: Task, samples: tuple[Sample, ...]) -> tuple[str, ...]:
    if task == "captioning":
        return ()
    return tuple(sorted({name for sample in samples for name in sample.labels}))
