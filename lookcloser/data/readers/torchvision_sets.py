"""Data sets that torchvision knows, in the folders that it makes; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.core.types import Box
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import Row, inside, keep_present, read_text


def is_folder(name: str, *inside: str) -> Callable[[Path], bool]:
    """Whether a folder is called ``name``, as torchvision calls it, and has ``inside`` in it."""

    def recognizes(root: Path) -> bool:
        root = root.resolve()
        return root.name == name and all((root / entry).exists() for entry in inside)

    return recognizes


def holds(*inside: str) -> Callable[[Path], bool]:
    """Whether a folder, whatever it is called, has ``inside`` in it."""
    return lambda root: all((root / entry).exists() for entry in inside)


def read_pets(root: Path, skip_missing: bool) -> Catalog:
    """Oxford-IIIT Pet (Parkhi et al., 2012): 37 breeds, trainval and test."""
    splits = {"train": "trainval", "test": "test"}
    sets = {ours: _open("OxfordIIITPet", root, split=theirs) for ours, theirs in splits.items()}
    files = {split: (data._images, data._labels) for split, data in sets.items()}
    return _catalog(
        root, "Oxford-IIIT Pet", sets["train"].classes, files, skip_missing=skip_missing
    )


def read_flowers(root: Path, skip_missing: bool) -> Catalog:
    """Oxford 102 Flowers (Nilsback and Zisserman, 2008): train, val and test."""
    sets = {split: _open("Flowers102", root, split=split) for split in ("train", "val", "test")}
    files = {split: (data._image_files, data._labels) for split, data in sets.items()}
    return _catalog(
        root, "Oxford Flowers 102", sets["train"].classes, files, skip_missing=skip_missing
    )


def read_aircraft(root: Path, skip_missing: bool) -> Catalog:
    """FGVC-Aircraft (Maji et al., 2013): 100 variants, train, val and test.

    Boxes come from data/images_box.txt where it is there: 1-based and inclusive.
    """
    sets = {split: _open("FGVCAircraft", root, split=split) for split in ("train", "val", "test")}
    files = {split: (data._image_files, data._labels) for split, data in sets.items()}
    boxes = _aircraft_boxes(root / "data" / "images_box.txt")
    return _catalog(
        root, "FGVC-Aircraft", sets["train"].classes, files, skip_missing=skip_missing, boxes=boxes
    )


def read_food(root: Path, skip_missing: bool) -> Catalog:
    """Food-101 (Bossard et al., 2014): train and test as meta/ lists them, without endings."""
    lists = {split: f"meta/{split}.txt" for split in ("train", "test")}
    return _listed(root, "Food-101", lists, ".jpg", skip_missing)


def read_textures(root: Path, skip_missing: bool) -> Catalog:
    """Describable Textures (Cimpoi et al., 2014): the first of its ten train, val and test."""
    lists = {split: f"labels/{split}1.txt" for split in ("train", "val", "test")}
    return _listed(root, "Describable Textures", lists, "", skip_missing)


def _listed(
    root: Path, layout: str, lists: Mapping[str, str], ending: str, skip_missing: bool
) -> Catalog:
    """Images in images/CLASS/, by lists of "CLASS/NAME" for each split."""
    rows = []
    for split, where in lists.items():
        for number, line in enumerate(read_text(root / where).splitlines(), start=1):
            listed = line.strip()
            if not listed:
                continue
            label = listed.partition("/")[0]
            if label == listed:
                raise LookcloserError(f"{where} line {number}: '{listed}' is not CLASS/NAME")
            name, path = inside(root, f"images/{listed}{ending}", f"{where} line {number}")
            rows.append(Row(where, Sample(name, path, (label,), split=split)))
    samples, skipped = keep_present(rows, skip_missing, root)
    names = tuple(sorted({row.sample.labels[0] for row in rows}))
    return Catalog(root, layout, "classification", names, samples, skipped)


def _aircraft_boxes(path: Path) -> dict[str, Box]:
    """Stem of the image -> box, from lines of "stem xmin ymin xmax ymax"."""
    boxes: dict[str, Box] = {}
    for line in read_text(path).splitlines() if path.is_file() else []:
        try:
            x0, y0, x1, y1 = map(int, line.split()[1:])
        except ValueError as error:
            raise LookcloserError(f"{path}: '{line}' is not a name and a box") from error
        boxes[line.split()[0]] = (x0 - 1.0, y0 - 1.0, float(x1), float(y1))
    return boxes


def read_mnist(root: Path, skip_missing: bool) -> Catalog:
    """MNIST (LeCun et al., 1998): the images stay arrays (28, 28) that share one buffer."""
    # torchvision calls its classes "0 - zero".
    return _arrays("MNIST", root, "MNIST", lambda name: name.split(" ")[0])


def read_fashion_mnist(root: Path, skip_missing: bool) -> Catalog:
    """Fashion-MNIST (Xiao et al., 2017): the images stay arrays (28, 28) that share one buffer."""
    return _arrays("FashionMNIST", root, "Fashion-MNIST", str)


def _open(kind: str, root: Path, **options: Any) -> Any:
    """The data set of torchvision, whose root is the folder above the one that it makes."""
    from torchvision import datasets

    try:
        return getattr(datasets, kind)(root.resolve().parent, download=False, **options)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        reason = str(error).replace("You can use download=True to download it", "").strip(" .")
        raise LookcloserError(
            f"{root}: torchvision cannot read it as {kind}: {reason}", fix="Unpack it again"
        ) from error


def _arrays(kind: str, root: Path, layout: str, rename: Callable[[str], str]) -> Catalog:
    sets = {split: _open(kind, root, train=split == "train") for split in ("train", "test")}
    names = tuple(rename(name) for name in sets["train"].classes)
    samples = tuple(
        Sample(f"{split}/{index:05d}", image, (names[target],), split=split)
        for split, data in sets.items()
        for index, (image, target) in enumerate(
            zip(data.data.numpy(), data.targets.tolist(), strict=True)
        )
    )
    return Catalog(root, layout, "classification", names, samples)


def _catalog(
    root: Path,
    layout: str,
    classes: list[str],
    files: Mapping[str, tuple[list[Any], list[int]]],
    *,
    skip_missing: bool,
    boxes: Mapping[str, Box] = MappingProxyType({}),
) -> Catalog:
    """``files``: split -> (paths, class indices); ``boxes``: stem of the file -> box."""
    rows = []
    for split, (paths, targets) in files.items():
        for file, target in zip(paths, targets, strict=True):
            name, path = inside(root.resolve(), str(file), layout)
            label = classes[target]
            found = ((label, boxes[path.stem]),) if path.stem in boxes else ()
            rows.append(Row(layout, Sample(name, path, (label,), boxes=found, split=split)))
    samples, skipped = keep_present(rows, skip_missing, root)
    return Catalog(root, layout, "classification", tuple(classes), samples, skipped)
