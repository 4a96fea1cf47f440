"""COCO (Lin et al., 2014): what its JSON files say of objects (tags with boxes) or in captions."""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box
from lookcloser.core.wording import count, named
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.coco_files import CocoFile, base_folder, find_files, preferred
from lookcloser.data.readers.files import Row, inside, keep_present
from lookcloser.data.readers.json_files import id_of, read_json, records, text_of
from lookcloser.data.readers.tables.places import image_folder

_LAYOUT = "COCO"
_KEYS = frozenset(
    {"images", "annotations", "categories", "id", "file_name", "name"}
    | {"image_id", "category_id", "bbox", "iscrowd", "caption"}
)


@dataclass
class _Draft:
    """What the annotations of one image have said so far."""

    where: str
    name: str
    labels: dict[str, None] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    boxes: list[tuple[str | None, Box]] = field(default_factory=list)


@dataclass
class _Findings:
    """What the files of all splits have in common, and what is told about them."""

    categories: dict[str, None] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)
    crowds: int = 0
    flat: int = 0
    silent: int = 0

    def notes(self) -> Iterator[str]:
        if self.crowds:
            yield f"{count(self.crowds, 'crowd region')} taken as tags, without boxes"
        if self.flat:
            yield f"{count(self.flat, 'annotation')} with a box without area: the tag is kept"
        if self.silent:
            yield f"{count(self.silent, 'image')} without captions left out"


def recognizes(root: Path) -> bool:
    """A JSON file of objects or captions, or a folder with some; the files are not parsed."""
    return bool(find_files(root))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read the JSON files of a folder, objects rather than captions, or the file ``root``.

    With a file come those of other splits that are called like it. Images without objects are kept
    without tags, images without captions left out. Boxes [x, y, width, height] become corners;
    those of crowds, which stand for many objects, are left out.

    Raises:
        LookcloserError: If several files are of one split, a file is not what it seems, an
            annotation refers to nothing, or an image is missing; names the place.
    """
    found = find_files(root)
    files = preferred(found)
    splits = Counter(file.split for file in files)
    if len(files) > 1 and (None in splits or max(splits.values()) > 1):
        names = ", ".join(file.path.name for file in files)
        raise LookcloserError(f"{root}: several COCO files ({names})", fix="Give one of them")
    base = base_folder(root)
    findings, rows = _Findings(), dict[str, Row]()
    for file in files:
        for row in _rows(file, base, skip_missing, findings):
            before = rows.setdefault(row.sample.name, row)
            if before is not row:
                raise LookcloserError(
                    f"{row.where}: '{row.sample.name}' is at {before.where} already",
                    fix="Keep one of them",
                )
    samples, skipped = keep_present(rows.values(), skip_missing, base)
    used = {name for sample in samples for name in sample.labels}
    unused = [name for name in findings.categories if name not in used]
    others = [file.path.name for file in found if file not in files]
    lost = tuple((name, f"{place}: not among 'images'") for name, place in findings.lost)
    notes = list(findings.notes())
    notes += [f"Categories without an image are left out: {named(unused)}"] if unused else []
    notes += [f"Not read: {named(others)}; give one of them to read it instead"] if others else []
    return Catalog(
        root=base,
        layout=_LAYOUT,
        task=files[0].task,
        names=tuple(name for name in findings.categories if name in used),
        samples=samples,
        skipped=skipped + lost,
        notes=tuple(notes),
    )


def _rows(file: CocoFile, base: Path, skip_missing: bool, findings: _Findings) -> Iterator[Row]:
    content = read_json(file.path, _KEYS)
    where = file.path.name
    drafts: dict[int | str, _Draft] = {}
    for place, image in records(content, "images", where):
        name, _ = inside(base, text_of(image, "file_name", place), place)
        key = id_of(image, "id", place)
        if key in drafts:
            raise LookcloserError(f"{place}: id {key} is at {drafts[key].where} already")
        drafts[key] = _Draft(place, name)
    _annotate(drafts, content, file, findings)
    if findings.lost and not skip_missing:
        name, place = findings.lost[0]
        raise LookcloserError(
            f"{place}: {name} is not among 'images' "
            f"({len(findings.lost)} of {len(content['annotations'])})",
            fix="--skip-missing drops them",
        )
    folder = image_folder(base, [draft.name for draft in drafts.values()], file.split)
    for draft in drafts.values():
        if file.task == "captioning" and not draft.captions:
            findings.silent += 1
            continue
        name = posixpath.join(folder, draft.name)
        yield Row(
            draft.where,
            Sample(
                name=name,
                source=base / name,
                labels=tuple(draft.labels),
                captions=tuple(draft.captions),
                boxes=tuple(draft.boxes),
                split=file.split,
            ),
        )


def _annotate(
    drafts: dict[int | str, _Draft], content: dict[str, Any], file: CocoFile, findings: _Findings
) -> None:
    """Add the annotations to the drafts of their images."""
    where = file.path.name
    tags = _categories(content, where) if file.task == "multilabel" else {}
    findings.categories |= dict.fromkeys(tags.values())
    for place, annotation in records(content, "annotations", where):
        key = id_of(annotation, "image_id", place)
        draft = drafts.get(key)
        if draft is None:
            findings.lost.append((f"image {key}", place))
        elif file.task == "captioning":
            draft.captions.append(text_of(annotation, "caption", place))
        else:
            category = id_of(annotation, "category_id", place)
            if category not in tags:
                raise LookcloserError(f"{place}: category {category} is not among 'categories'")
            draft.labels[tags[category]] = None
            _add_box(draft, tags[category], annotation, place, findings)


def _categories(content: dict[str, Any], where: str) -> dict[int | str, str]:
    """Id -> name; ids may have gaps, and two ids may share a name."""
    return {
        id_of(category, "id", place): text_of(category, "name", place)
        for place, category in records(content, "categories", where)
    }


def _add_box(
    draft: _Draft, label: str, annotation: dict[str, Any], place: str, findings: _Findings
) -> None:
    """Turn [x, y, width, height] into corners, where there is a box of one object."""
    given = annotation.get("bbox")
    if given is None or given == []:
        return
    try:
        x, y, width, height = map(float, given if isinstance(given, list) else ())
    except (TypeError, ValueError, OverflowError):
        x = y = width = height = math.nan
    if not all(map(math.isfinite, (x, y, width, height))):
        raise LookcloserError(
            f"{place}: {given} is not a box", allowed="[x, y, width, height] in pixels"
        )
    if annotation.get("iscrowd"):
        findings.crowds += 1
    elif width <= 0 or height <= 0:
        findings.flat += 1
    else:
        draft.boxes.append((label, (x, y, x + width, y + height)))
