"""Annotations in the form of PASCAL VOC as labelImg and others write them: an XML for each image.

Beside the images (``1.jpg`` and ``1.xml``), or in a folder of their own (``images/`` and
``annotations/``), with or without ``train``, ``valid`` and ``test`` above.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from lookcloser.core.errors import LookcloserError
from lookcloser.core.storage.files import is_image_name, leads_to_file, subfolders
from lookcloser.core.wording import some
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, inside, keep_present, read_head, read_xml
from lookcloser.data.readers.folders import split_of
from lookcloser.data.readers.tables.lookup import ImageFinder
from lookcloser.data.readers.voc import Findings, objects_of

_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls", "labels", "label", "anns"})


def recognizes(root: Path) -> bool:
    """A folder with annotations directly in it, in a folder of their own, or in its splits."""
    return root.is_dir() and any(True for _ in _places(root))


def read(root: Path, skip_missing: bool) -> Catalog:
    """Read every annotation; the name of each object is a tag. Boxes are 1-based and inclusive.

    Images without an annotation are left out.

    Raises:
        LookcloserError: If an annotation is wrong, or an image is missing or not clear.
    """
    findings, rows, notes = Findings(), dict[str, Row](), list[str]()
    for folder, base, split in _places(root):
        finder = ImageFinder(base)
        stems = {os.path.splitext(name)[0]: name for name in _annotations(folder)}
        paths = finder.find(list(stems), split, _relative(folder, root) or root.name)
        paths |= _by_their_word(folder, stems, paths, finder)
        annotated = {path.rpartition("/")[2] for path in paths.values()}
        bare = [n for n in sorted(os.listdir(folder)) if is_image_name(n) and n not in annotated]
        notes += [f"{some(bare, 'image')} without annotations left out"] if bare else []
        for stem, path in paths.items():
            where = "/".join(filter(None, (_relative(folder, root), stems[stem])))
            name = "/".join(filter(None, (_relative(base, root), path)))
            objects = list(objects_of(folder / stems[stem], findings))
            sample = Sample(
                name=name,
                source=base / path,
                labels=tuple(dict.fromkeys(label for label, _ in objects)),
                boxes=tuple((label, box) for label, box in objects if box is not None),
                split=split,
            )
            if rows.setdefault(name, Row(where, sample)).sample is not sample:
                raise LookcloserError(f"{where}: '{name}' is at {rows[name].where} already")
    samples, skipped = keep_present(rows.values(), skip_missing, root)
    names = tuple(sorted({label for sample in samples for label in sample.labels}))
    notes += findings.notes()
    return Catalog(root, "labelImg", "multilabel", names, samples, skipped, tuple(notes))


def _places(root: Path) -> Iterator[tuple[Path, Path, str | None]]:
    """(folder of annotations, folder with their images, split)."""
    names = subfolders(root)
    splits = {name: split_of(name, names) for name in names}
    parts = [(root, None), *((root / name, split) for name, split in splits.items() if split)]
    for base, split in parts:
        inner = [base / name for name in subfolders(base) if name.lower() in _FOLDERS]
        inner += [
            folder / name
            for folder in inner
            for name in subfolders(folder)
            if name.lower() in _FOLDERS
        ]
        for folder in (base, *inner):
            first = next(iter(_annotations(folder)), None)
            if first is not None and b"<annotation" in read_head(folder / first, 4096):
                yield folder, base, split


def _by_their_word(
    folder: Path, stems: Mapping[str, str], paths: Mapping[str, str], finder: ImageFinder
) -> dict[str, str]:
    """Annotations that are called otherwise than their image, and the image they name."""
    lost = [stem for stem, path in paths.items() if not (finder.root / path).is_file()]
    said = {stem: read_xml(folder / stems[stem]).findtext("filename", "").strip() for stem in lost}
    names = {stem: inside(finder.root, name, stems[stem])[0] for stem, name in said.items() if name}
    found = finder.find(list(dict.fromkeys(names.values())), None, stems[lost[0]] if lost else "")
    there = {stem: found[name] for stem, name in names.items()}
    return {stem: path for stem, path in there.items() if (finder.root / path).is_file()}


def _annotations(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            e.name
            for e in entries
            if e.name.lower().endswith(".xml") and not e.name.startswith(".") and leads_to_file(e)
        )


def _relative(folder: Path, root: Path) -> str:
    return "" if folder == root else folder.relative_to(root).as_posix()
