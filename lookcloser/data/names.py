"""One name for what a person takes for one: the last step of reading, for every layout."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from lookcloser.core.choices import TRAITS
from lookcloser.core.wording import count, encodable, named
from lookcloser.data.catalog import Catalog, Sample

# Signs without width that editors and web pages leave at the ends of names.
_NO_WIDTH = dict.fromkeys((0x200B, 0xFEFF))


def tidy(catalog: Catalog) -> Catalog:
    """Names that look the same made the same; notes say which.

    Accents that are written in one sign or in two (NFC; macOS hands out the other form), blanks at
    the ends or doubled, and signs without width make no other class. Bytes of names that are not
    UTF-8 are spelled out, so that a model file can hold them. Classes that differ in case stay.
    """
    raw = {label: tidy_name(label) for label in _labels(catalog)}
    samples = tuple(_renamed(sample, raw) for sample in catalog.samples)
    names = tuple(dict.fromkeys(raw[name] for name in catalog.names))
    parents = {tidy_name(child): tidy_name(parent) for child, parent in catalog.parents.items()}
    return replace(
        catalog,
        samples=samples,
        names=names,
        parents=parents,
        notes=tuple(map(encodable, (*catalog.notes, *_notes(catalog, raw, names)))),
        skipped=tuple((encodable(name), encodable(reason)) for name, reason in catalog.skipped),
    )


def tidy_name(name: str) -> str:
    """A name in the form that its equals have too."""
    if name.isascii() and name.isprintable() and "  " not in name:
        return name.strip()
    plain = unicodedata.normalize("NFC", encodable(name)).translate(_NO_WIDTH)
    return " ".join(plain.split())


def _labels(catalog: Catalog) -> dict[str, None]:
    labels = dict.fromkeys(catalog.names)
    for sample in catalog.samples:
        labels |= dict.fromkeys(sample.labels)
        labels |= dict.fromkeys(label for label, _ in sample.boxes if label is not None)
    return labels


def _renamed(sample: Sample, names: Mapping[str, str]) -> Sample:
    """The sample with tidy names; itself where they are."""
    labels = tuple(dict.fromkeys(names[label] for label in sample.labels))
    name = sample.name if sample.name.isascii() else encodable(sample.name)
    captions = tuple(map(encodable, sample.captions))
    boxes = tuple((None if of is None else names[of], box) for of, box in sample.boxes)
    new = (name, labels, captions, boxes)
    if new == (sample.name, sample.labels, sample.captions, sample.boxes):
        return sample
    return replace(sample, name=name, labels=labels, captions=captions, boxes=boxes)


def _notes(catalog: Catalog, raw: Mapping[str, str], names: tuple[str, ...]) -> Iterator[str]:
    kind = TRAITS[catalog.task].noun
    merged = defaultdict(list)
    for before, after in raw.items():
        merged[after].append(before)
    several = [after for after, before in merged.items() if len(before) > 1]
    if several:
        yield f"{count(len(several), kind)} written in several ways, read as one: {named(several)}"
    bytes_in = [after for before, after in raw.items() if encodable(before) != before]
    if bytes_in:
        yield f"Names that are not UTF-8, with their bytes spelled out: {named(bytes_in)}"
    by_case = defaultdict(list)
    for name in names:
        by_case[name.casefold()].append(name)
    alike = [name for group in by_case.values() if len(group) > 1 for name in group]
    if alike:
        yield f"Differ in case only, and are {count(len(alike), kind)}: {named(alike)}"
