"""PASCAL VOC (Everingham et al., 2010): one XML file of objects per image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import is_image_name
from lookcloser.core.types import Box
from lookcloser.core.wording import count, some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, corners, inside, keep_present, read_text, read_xml
from lookcloser.data.splits import SPLIT_OF

_XML, _IMAGES = "Annotations", "JPEGImages"
# Main is that of the classes; the others are used where it has none.
_LISTS = ("ImageSets/Main", "ImageSets", "ImageSets/Segmentation", "ImageSets/Layout")


@dataclass
class Findings:
    """What is told about the objects of all images."""

    difficult: int = 0
    flat: int = 0

    def notes(self) -> Iterator[str]:
        """Sentences for the catalog."""
        if self.difficult:
            yield (
                f"{count(self.difficult, 'object')} marked as difficult: tags like the others "
                "(the VOC scores leave them out)"
            )
        if self.flat:
            yield f"{count(self.flat, 'object')} with a box without area: the tag is kept"


def recognizes(root: Path) -> bool:
    """A folder with Annotations/ and JPEGImages/, or VOCdevkit, or what holds it."""
    return bool(_years(root))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read one year of PASCAL VOC; every object's name is a tag.

    Boxes are 1-based and inclusive there. The lists in ImageSets/ give the splits (trainval is
    train where train is not there); without any, every annotation counts. Images whose annotation
    is not published are left out.

    Raises:
        LookcloserError: If there are several years, an annotation is wrong, or an image is missing.
    """
    years = _years(root)
    if len(years) > 1:
        found = ", ".join(year.relative_to(root).as_posix() for year in years)
        raise LookcloserError(f"{root}: several years ({found})", fix="Give one of them")
    year, findings = years[0], Findings()
    files = _image_files(year / _IMAGES)
    rows, bare = [], list[str]()
    annotations = _annotations(year / _XML)
    for split, stem, where in _listed(year, files, annotations):
        # A listed name that leads upwards is refused here, for the image and its annotation.
        name, image = inside(year / _IMAGES, files.get(stem, f"{stem}.jpg"), where)
        if stem not in annotations:
            bare.append(f"{_IMAGES}/{name}")
            continue
        objects = list(objects_of(year / _XML / annotations[stem], findings))
        sample = Sample(
            name=f"{_IMAGES}/{name}",
            source=image,
            labels=tuple(dict.fromkeys(label for label, _ in objects)),
            boxes=tuple((label, box) for label, box in objects if box is not None),
            split=split,
        )
        rows.append(Row(where, sample))
    if bare and not rows:
        raise LookcloserError(
            f"{year}: no annotation in {_XML} for {some(bare, 'listed image')}",
            fix=f"List names such as those in {_XML}, without an ending",
        )
    samples, skipped = keep_present(rows, skip_missing, year)
    names = tuple(sorted({label for sample in samples for label in sample.labels}))
    notes = [f"{some(bare, 'listed image')} without annotations left out"] if bare else []
    notes += findings.notes()
    return Catalog(year, "PASCAL VOC", "multilabel", names, samples, skipped, tuple(notes))


def _years(root: Path) -> list[Path]:
    """``root`` itself, or its folders VOC2007 and the like, or those of VOCdevkit in it."""
    if not root.is_dir():
        return []
    if _is_year(root):
        return [root]
    kits = (root, root / "VOCdevkit")
    return [year for kit in kits for year in sorted(kit.glob("VOC*")) if _is_year(year)]


def _is_year(folder: Path) -> bool:
    return (folder / _XML).is_dir() and (folder / _IMAGES).is_dir()


def _image_files(folder: Path) -> dict[str, str]:
    """Stem -> file name: in other people's sets of this form not every image is a .jpg."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_image_name(entry.name))
    return {os.path.splitext(name)[0]: name for name in names}


def _annotations(folder: Path) -> dict[str, str]:
    """Stem -> file name of every annotation."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower().endswith(".xml"))
    return {os.path.splitext(name)[0]: name for name in names}


def _listed(
    year: Path, files: Mapping[str, str], annotations: Mapping[str, str]
) -> Iterator[tuple[str | None, str, str]]:
    """(split, name without ending, place) of every image."""
    lists = next((found for name in _LISTS if (found := _lists(year / name))), {})
    places: dict[str, str] = {}
    for split, path in lists.items():
        for number, line in enumerate(read_text(path).splitlines(), 1):
            where = f"{path.name} line {number}"
            if not line.strip():
                continue
            stem = _stem(line.strip(), {**files, **annotations})
            if stem in places:
                raise LookcloserError(f"{where}: '{stem}' is at {places[stem]} already")
            places[stem] = where
            yield split, stem, where
    if not lists:
        for stem, name in annotations.items():
            yield None, stem, f"{_XML}/{name}"


def _lists(folder: Path) -> dict[str, Path]:
    """Split -> its list; train.txt rather than trainval.txt, which holds val too."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.name.lower().endswith(".txt") and e.is_file())
    found: dict[str, Path] = {}
    for word in SPLIT_OF:
        own = next((name for name in names if name[:-4].lower() == word), None)
        if own is not None and not (word == "trainval" and "val" in found):
            found.setdefault(SPLIT_OF[word], folder / own)
    both = found.get("train", folder).stem.lower() == "trainval"
    return {split: path for split, path in found.items() if not (both and split == "val")}


def _stem(line: str, known: Mapping[str, str]) -> str:
    """The image that a line of a list names: all of it, without its flag, ending or folder."""
    without_flag = re.sub(r"\s+(1|0|-1)$", "", line)
    texts = [line, without_flag, *map(_without_ending, (line, without_flag))]
    texts += [re.split(r"[\\/]", text)[-1] for text in texts if _IMAGES in text]
    return next((text for text in texts if text in known), without_flag)


def _without_ending(name: str) -> str:
    return os.path.splitext(name)[0] if is_image_name(os.path.basename(name)) else name


def objects_of(path: Path, findings: Findings) -> Iterator[tuple[str, Box | None]]:
    """(name, box) of each object of an annotation; parts, such as a head, are passed over."""
    for entry in read_xml(path).findall("object"):
        label = entry.findtext("name", "").strip()
        if not label:
            raise LookcloserError(f"{path}: an object without a name")
        findings.difficult += entry.findtext("difficult", "").strip() == "1"
        box = entry.find("bndbox")
        if box is None:
            yield label, None
            continue
        x0, y0, x1, y1 = corners(box, path)
        flat = x0 - 1 >= x1 or y0 - 1 >= y1
        findings.flat += flat
        yield label, None if flat else (x0 - 1, y0 - 1, x1, y1)
