"""Stanford Dogs (Khosla et al., 2011) and Stanford Cars (Krause et al., 2013)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lookcloser.core.errors import LookcloserError
from lookcloser.data.catalog import Catalog, Sample
from lookcloser.data.readers.files import (
    Row,
    as_list,
    inside,
    keep_present,
    read_mat,
    read_xml_boxes,
)

_CARS = "Stanford Cars"
_CAR_FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class")


def recognizes_dogs(root: Path) -> bool:
    """A folder with Images/ and train_list.mat, beside it or in lists/."""
    return (root / "Images").is_dir() and _dog_list(root, "train") is not None


def read_dogs(root: Path, skip_missing: bool) -> Catalog:
    """Read Stanford Dogs; "n02085620-Chihuahua" becomes "Chihuahua".

    Boxes come from Annotation/ where it is there. They are written as edges in pixels: an object
    that fills the image has xmin 0 and xmax its width.

    Raises:
        LookcloserError: If a list or an annotation cannot be read, or an image is missing.
    """
    rows = []
    for split in ("train", "test"):
        path = _dog_list(root, split)
        content = {"file_list": []} if path is None else read_mat(path, "file_list")
        for file in map(str, as_list(content["file_list"])):
            rows.append(Row(f"{split}_list.mat", _dog(root, file, split)))
    samples, skipped = keep_present(rows, skip_missing, root)
    names = tuple(sorted({row.sample.labels[0] for row in rows}))
    return Catalog(root, "Stanford Dogs", "classification", names, samples, skipped)


def _dog(root: Path, file: str, split: str) -> Sample:
    """``file`` as listed: "n02085620-Chihuahua/n02085620_5927.jpg"."""
    where = f"{split}_list.mat"
    name, image = inside(root, f"Images/{file}", where)
    _, xml = inside(root, f"Annotation/{file.removesuffix('.jpg')}", where)
    label = file.split("/", 1)[0].split("-", 1)[-1]
    boxes = read_xml_boxes(xml) if xml.is_file() else ()
    return Sample(name, image, (label,), boxes=tuple((label, box) for box in boxes), split=split)


def _dog_list(root: Path, split: str) -> Path | None:
    places = (root / f"{split}_list.mat", root / "lists" / f"{split}_list.mat")
    return next((place for place in places if place.is_file()), None)


def recognizes_cars(root: Path) -> bool:
    """A folder with cars_annos.mat, or with devkit/cars_train_annos.mat."""
    return (root / "cars_annos.mat").is_file() or (root / "devkit/cars_train_annos.mat").is_file()


def read_cars(root: Path, skip_missing: bool) -> Catalog:
    """Read Stanford Cars, either release; boxes are 1-based and inclusive there.

    The devkit's test split needs cars_test_annos_withlabels.mat, beside the devkit or in it;
    without it there is only train, and a note says so.

    Raises:
        LookcloserError: If a .mat file cannot be read, or an image is missing.
    """
    if (root / "cars_annos.mat").is_file():
        annos = read_mat(root / "cars_annos.mat", "annotations", "class_names")
        names = tuple(map(str, as_list(annos["class_names"])))
        rows = _car_rows(root, "cars_annos.mat", annos["annotations"], names, None)
        samples, skipped = keep_present(rows, skip_missing, root)
        return Catalog(root, _CARS, "classification", names, samples, skipped)
    meta = read_mat(root / "devkit/cars_meta.mat", "class_names")
    names = tuple(map(str, as_list(meta["class_names"])))
    rows, notes = [], list[str]()
    test = "cars_test_annos_withlabels.mat"
    for split, places in {
        "train": ("devkit/cars_train_annos.mat",),
        "test": (test, f"devkit/{test}"),
    }.items():
        place = next((place for place in places if (root / place).is_file()), None)
        if place is None:
            notes.append(f"{test} is not there: the test images, without labels, are left out")
            continue
        annos = read_mat(root / place, "annotations")
        rows += _car_rows(root, place, annos["annotations"], names, split)
    samples, skipped = keep_present(rows, skip_missing, root)
    return Catalog(root, _CARS, "classification", names, samples, skipped, tuple(notes))


def _car_rows(
    root: Path, where: str, annotations: Any, names: tuple[str, ...], split: str | None
) -> list[Row]:
    """One row per annotation; its own field ``test`` decides where ``split`` is None."""
    rows = []
    fields = (*_CAR_FIELDS, "fname") if split else (*_CAR_FIELDS, "relative_im_path", "test")
    for entry in as_list(annotations):
        if not isinstance(entry, dict) or not set(fields) <= set(entry):
            raise LookcloserError(f"{where}: an annotation has fields {', '.join(fields)}")
        try:
            x0, y0, x1, y1, number = (int(entry[field]) for field in _CAR_FIELDS)
        except (TypeError, ValueError, OverflowError) as error:
            raise LookcloserError(f"{where}: a box or a class is no number: {error}") from error
        if not 1 <= number <= len(names):
            raise LookcloserError(f"{where}: class {number}", allowed=f"1 to {len(names)}")
        listed = f"cars_{split}/{entry['fname']}" if split else str(entry["relative_im_path"])
        name, path = inside(root, listed, where)
        label = names[number - 1]
        sample = Sample(
            name=name,
            source=path,
            labels=(label,),
            boxes=((label, (x0 - 1.0, y0 - 1.0, float(x1), float(y1))),),
            split=split or ("test" if entry["test"] else "train"),
        )
        rows.append(Row(where, sample))
    return rows
