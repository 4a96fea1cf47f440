from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from torchvision.datasets import StanfordCars

from lookcloser.core import LookcloserError
from lookcloser.data import read_data

CHIHUAHUA, SPANIEL = "n02085620-Chihuahua", "n02086646-Blenheim_spaniel"
DOGS = {
    "train": [f"{CHIHUAHUA}/n02085620_1.jpg", f"{SPANIEL}/n02086646_1.jpg"],
    "test": [f"{CHIHUAHUA}/n02085620_2.jpg"],
}
XML = """<annotation><filename>%s</filename>
<object><name>x</name><bndbox><xmin>0</xmin><ymin>1</ymin><xmax>8</xmax><ymax>5</ymax></bndbox>
</object><object><name>x</name>
<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"""


def cells(values: list[str]) -> np.ndarray:
    """A column of strings, as MATLAB keeps it."""
    return np.array(values, dtype=object).reshape(-1, 1)


@pytest.fixture
def dogs(write: Any) -> Path:
    root: Path = write(*(f"Images/{name}" for names in DOGS.values() for name in names))
    for split, names in DOGS.items():
        savemat(
            root / f"{split}_list.mat", {"file_list": cells(names), "labels": [[1]] * len(names)}
        )
    annotation = root / "Annotation" / CHIHUAHUA / "n02085620_1"
    annotation.parent.mkdir(parents=True)
    annotation.write_text(XML)
    return root


@pytest.mark.parametrize("folder", [".", "lists"])
def test_dogs(dogs: Path, folder: str) -> None:
    for split in DOGS:
        (dogs / folder).mkdir(exist_ok=True)
        (dogs / f"{split}_list.mat").rename(dogs / folder / f"{split}_list.mat")
    catalog = read_data(dogs, val_share=0)
    assert (catalog.layout, catalog.names) == ("Stanford Dogs", ("Blenheim_spaniel", "Chihuahua"))
    boxes = (("Chihuahua", (0.0, 1.0, 8.0, 5.0)), ("Chihuahua", (2.0, 2.0, 4.0, 4.0)))
    assert [(s.name, s.labels, s.split, s.boxes) for s in catalog.samples] == [
        (f"Images/{DOGS['train'][0]}", ("Chihuahua",), "train", boxes),
        (f"Images/{DOGS['train'][1]}", ("Blenheim_spaniel",), "train", ()),
        (f"Images/{DOGS['test'][0]}", ("Chihuahua",), "test", ()),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document types and entities are not read"),
        ("<annotation>", "not an annotation with boxes: no element found"),
        (XML.replace("<xmin>0</xmin>", ""), "could not convert string to float"),
        ("<!-- fine -->" + " " * (1 << 20) + XML, "1,0"),
    ],
)
def test_annotations_that_are_not_read(dogs: Path, text: str, message: str) -> None:
    path = dogs / "Annotation" / CHIHUAHUA / "n02085620_1"
    path.write_text(text)
    with pytest.raises(LookcloserError, match=message) as caught:
        read_data(dogs)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_list_that_leads_out_is_refused(dogs: Path) -> None:
    savemat(dogs / "test_list.mat", {"file_list": cells(["../../x.jpg"])})
    with pytest.raises(LookcloserError, match=r"test_list.mat: 'Images/../../x.jpg' is outside of"):
        read_data(dogs)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"no matlab", "cannot be read as a MATLAB file"), (b"", "cannot be read as a MATLAB file")],
)
def test_a_broken_list_is_named(dogs: Path, data: bytes, message: str) -> None:
    (dogs / "train_list.mat").write_bytes(data)
    with pytest.raises(LookcloserError, match=rf"train_list\.mat: {message}"):
        read_data(dogs)


def test_a_list_without_its_variable_and_one_that_is_too_large(dogs: Path) -> None:
    savemat(dogs / "train_list.mat", {"other": [1]})
    with pytest.raises(LookcloserError, match=r"train_list\.mat: has no variable 'file_list'"):
        read_data(dogs)
    with (dogs / "train_list.mat").open("r+b") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(LookcloserError, match=r"16,777,217 bytes. Allowed: at most 16,777,216"):
        read_data(dogs)


CARS = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]
BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def annotations(rows: list[tuple[Any, ...]], *fields: str) -> np.ndarray:
    """A MATLAB struct array with the given fields."""
    struct = np.zeros((1, len(rows)), dtype=[(field, object) for field in fields])
    struct[0] = rows
    return struct


@pytest.fixture
def devkit(write: Any) -> Path:
    """The folder as torchvision expects it, so that it can read it as well."""
    names = [f"cars_{split}/0000{i}.jpg" for split in ("train", "test") for i in (1, 2)]
    root: Path = write(*(f"stanford_cars/{name}" for name in names)) / "stanford_cars"
    (root / "devkit").mkdir()
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array([CARS], dtype=object)})
    train = [(39, 116, 569, 375, 2, "00001.jpg"), (1, 1, 8, 6, 1, "00002.jpg")]
    test = [(3, 4, 5, 6, 1, "00002.jpg"), (2, 2, 3, 3, 2, "00001.jpg")]
    for path, rows in (("devkit/cars_train_annos", train), ("cars_test_annos_withlabels", test)):
        savemat(root / f"{path}.mat", {"annotations": annotations(rows, *BOX, "class", "fname")})
    return root


def test_cars_of_the_devkit_equal_torchvisions(devkit: Path) -> None:
    catalog = read_data(devkit, val_share=0)
    assert (catalog.layout, catalog.names) == ("Stanford Cars", tuple(CARS))
    for split in ("train", "test"):
        peer = StanfordCars(devkit.parent, split=split)
        ours = [(str(s.source), catalog.names.index(s.labels[0])) for s in catalog.split(split)]
        assert ours == [(path, int(target)) for path, target in peer._samples]


def test_boxes_of_cars_start_at_one_and_include_their_end(devkit: Path) -> None:
    samples = read_data(devkit, val_share=0).samples
    assert [s.boxes for s in samples] == [
        ((CARS[1], (38.0, 115.0, 569.0, 375.0)),),
        ((CARS[0], (0.0, 0.0, 8.0, 6.0)),),
        ((CARS[0], (2.0, 3.0, 5.0, 6.0)),),
        ((CARS[1], (1.0, 1.0, 3.0, 3.0)),),
    ]


def test_test_labels_of_cars_may_lie_in_the_devkit_or_be_absent(devkit: Path) -> None:
    labels = devkit / "cars_test_annos_withlabels.mat"
    labels.rename(devkit / "devkit" / labels.name)
    assert len(read_data(devkit).split("test")) == 2
    (devkit / "devkit" / labels.name).unlink()
    catalog = read_data(devkit, val_share=0, test_share=0)
    assert catalog.splits == ("train",)
    assert catalog.notes[0].startswith("cars_test_annos_withlabels.mat is not there")


def test_cars_in_one_list(write: Any) -> None:
    root = write("car_ims/000001.jpg", "car_ims/000002.jpg")
    rows = [("car_ims/000001.jpg", 1, 2, 3, 4, 2, 0), ("car_ims/000002.jpg", 1, 1, 8, 6, 1, 1)]
    struct = annotations(rows, "relative_im_path", *BOX, "class", "test")
    names = np.array([CARS], dtype=object)
    savemat(root / "cars_annos.mat", {"annotations": struct, "class_names": names})
    catalog = read_data(root, val_share=0)
    assert [(s.name, s.labels, s.split, s.boxes) for s in catalog.samples] == [
        ("car_ims/000001.jpg", (CARS[1],), "train", ((CARS[1], (0.0, 1.0, 3.0, 4.0)),)),
        ("car_ims/000002.jpg", (CARS[0],), "test", ((CARS[0], (0.0, 0.0, 8.0, 6.0)),)),
    ]


@pytest.mark.parametrize(
    ("rows", "fields", "message"),
    [
        ([(1, 1, 2, 2, 3, "00001.jpg")], (*BOX, "class", "fname"), "class 3. Allowed: 1 to 2"),
        ([(1, 1, 2, 2, 0, "00001.jpg")], (*BOX, "class", "fname"), "class 0. Allowed: 1 to 2"),
        ([(1, 1, 2, 2, "00001.jpg")], (*BOX, "fname"), "an annotation has fields bbox_x1"),
    ],
)
def test_annotations_of_cars_that_are_wrong(
    devkit: Path, rows: list[tuple[Any, ...]], fields: tuple[str, ...], message: str
) -> None:
    savemat(devkit / "devkit/cars_train_annos.mat", {"annotations": annotations(rows, *fields)})
    with pytest.raises(LookcloserError, match=f"cars_train_annos.mat: {message}"):
        read_data(devkit)
