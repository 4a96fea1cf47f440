import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat
from torchvision import datasets

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data


def answers(catalog: Catalog, split: str) -> list[tuple[str, int]]:
    return [(str(s.source), catalog.names.index(s.labels[0])) for s in catalog.split(split)]


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture
def pets(write: Any) -> Path:
    names = ("Abyssinian_1", "yorkshire_terrier_2", "Abyssinian_3")
    root: Path = (
        write(*(f"oxford-iiit-pet/images/{name}.jpg" for name in names)) / "oxford-iiit-pet"
    )
    (root / "annotations").mkdir()
    (root / "annotations/trainval.txt").write_text(
        "Abyssinian_1 1 1 1\nyorkshire_terrier_2 2 2 1\n"
    )
    (root / "annotations/test.txt").write_text("Abyssinian_3 1 1 1\n")
    return root


def test_pets(pets: Path) -> None:
    catalog = read_data(pets, val_share=0)
    assert catalog.layout == "Oxford-IIIT Pet"
    assert catalog.names == ("Abyssinian", "Yorkshire Terrier")
    assert answers(catalog, "train") == [
        (str(pets / "images/Abyssinian_1.jpg"), 0),
        (str(pets / "images/yorkshire_terrier_2.jpg"), 1),
    ]
    assert answers(catalog, "test") == [(str(pets / "images/Abyssinian_3.jpg"), 0)]
    assert catalog.samples[0].name == "images/Abyssinian_1.jpg"


def test_pets_that_are_not_all_there(pets: Path) -> None:
    (pets / "images/Abyssinian_3.jpg").unlink()
    with pytest.raises(LookcloserError, match=r"'images/Abyssinian_3.jpg' not found \(1 of 3\)"):
        read_data(pets)
    (pets / "annotations/test.txt").unlink()
    with pytest.raises(
        LookcloserError, match=r"torchvision cannot read it as OxfordIIITPet: .*test"
    ):
        read_data(pets)


def test_flowers(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (f"flowers-102/jpg/image_{i:05d}.jpg" for i in range(1, 5))
    root = write(*names) / "flowers-102"
    savemat(root / "imagelabels.mat", {"labels": [[1, 102, 1, 2]]})
    savemat(root / "setid.mat", {"trnid": [[2, 1]], "valid": [[3, 3]], "tstid": [[4, 2]]})
    with pytest.raises(LookcloserError, match="not found or corrupted. Unpack it again"):
        read_data(root)
    # torchvision compares checksums, which made-up labels cannot have.
    monkeypatch.setattr("torchvision.datasets.flowers102.check_integrity", lambda *_: True)
    catalog = read_data(root)
    assert catalog.layout == "Oxford Flowers 102"
    assert len(catalog.names) == 102
    assert answers(catalog, "train") == [
        (str(root / "jpg/image_00002.jpg"), 101),
        (str(root / "jpg/image_00001.jpg"), 0),
    ]
    assert [target for _, target in answers(catalog, "val")] == [0, 0]
    assert [target for _, target in answers(catalog, "test")] == [1, 101]


@pytest.fixture
def aircraft(write: Any) -> Path:
    folder = "fgvc-aircraft-2013b"
    root: Path = write(*(f"{folder}/data/images/00{i}.jpg" for i in range(3))) / folder
    (root / "data/variants.txt").write_text("707-320\nBAE 146\n")
    for split, line in (("train", "000 BAE 146"), ("val", "001 707-320"), ("test", "002 BAE 146")):
        (root / f"data/images_variant_{split}.txt").write_text(line + "\n")
    (root / "data/images_box.txt").write_text("000 3 144 998 431\n002 1 1 8 6\n")
    return root


def test_aircraft_and_boxes_that_start_at_one(aircraft: Path) -> None:
    catalog = read_data(aircraft)
    assert catalog.layout == "FGVC-Aircraft"
    assert catalog.names == ("707-320", "BAE 146")
    assert [(s.name, s.labels[0], s.split, s.boxes) for s in catalog.samples] == [
        ("data/images/000.jpg", "BAE 146", "train", (("BAE 146", (2.0, 143.0, 998.0, 431.0)),)),
        ("data/images/001.jpg", "707-320", "val", ()),
        ("data/images/002.jpg", "BAE 146", "test", (("BAE 146", (0.0, 0.0, 8.0, 6.0)),)),
    ]


def test_a_wrong_line_of_boxes_is_named(aircraft: Path) -> None:
    (aircraft / "data/images_box.txt").write_text("000 3 144 998\n")
    with pytest.raises(LookcloserError, match=r"images_box.txt: '000 3 144 998' is not a name and"):
        read_data(aircraft)


def write_mnist(root: Path, labels: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Files in the format of MNIST, with random pixels."""
    (root / "raw").mkdir(parents=True)
    generator, images = np.random.default_rng(0), {}
    for split, targets in labels.items():
        images[split] = generator.integers(0, 256, (len(targets), 28, 28), dtype=np.uint8)
        head = struct.pack(">IIII", 2051, len(targets), 28, 28)
        (root / f"raw/{split}-images-idx3-ubyte").write_bytes(head + images[split].tobytes())
        head = struct.pack(">II", 2049, len(targets))
        (root / f"raw/{split}-labels-idx1-ubyte").write_bytes(head + bytes(targets))
    return images


@pytest.mark.parametrize(
    ("folder", "layout", "label"),
    [("MNIST", "MNIST", "9"), ("FashionMNIST", "Fashion-MNIST", "Ankle boot")],
)
def test_mnist_and_its_fashion(folder: str, layout: str, label: str, tmp_path: Path) -> None:
    images = write_mnist(tmp_path / folder, {"train": [9, 0, 3], "t10k": [1, 9]})
    catalog = read_data(tmp_path / folder, val_share=0)
    assert (catalog.layout, len(catalog.names), catalog.names[9]) == (layout, 10, label)
    names = ["train/00000", "train/00001", "train/00002", "test/00000", "test/00001"]
    assert [s.name for s in catalog.samples] == names
    assert [catalog.names.index(s.labels[0]) for s in catalog.samples] == [9, 0, 3, 1, 9]
    expected = np.concatenate([images["train"], images["t10k"]])
    for sample, image in zip(catalog.samples, expected, strict=True):
        np.testing.assert_array_equal(sample.source, image)
    # One buffer, not an array each.
    assert catalog.samples[0].source.base is catalog.samples[1].source.base  # type: ignore[union-attr]


def test_half_of_mnist_is_an_error(tmp_path: Path) -> None:
    write_mnist(tmp_path / "MNIST", {"train": [1, 2]})
    with pytest.raises(LookcloserError, match=r"as MNIST: Dataset not found\. Unpack it again"):
        read_data(tmp_path / "MNIST")


def test_the_real_mnist_equals_torchvisions(shared_data: Any) -> None:
    root = shared_data("MNIST")
    catalog = read_data(root)
    counts = {split: len(catalog.split(split)) for split in catalog.splits}
    assert counts == {"train": 54_000, "val": 6_000, "test": 10_000}
    peer = datasets.MNIST(root.parent, train=False, download=False)
    samples = catalog.split("test")
    np.testing.assert_array_equal(np.stack([s.source for s in samples]), peer.data.numpy())
    assert [int(s.labels[0]) for s in samples] == peer.targets.tolist()


def test_a_folder_is_recognized_from_within_and_by_its_link(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").symlink_to(pets)
    assert read_data(tmp_path / "mine").layout == "Oxford-IIIT Pet"
    monkeypatch.chdir(pets)
    assert read_data(".").layout == "Oxford-IIIT Pet"


FOOD = ["apple_pie/1", "apple_pie/2", "waffles/1", "waffles/2"]


@pytest.fixture
def food(write: Any) -> Path:
    root: Path = write(*(f"food/images/{name}.jpg" for name in FOOD)) / "food"
    (root / "meta").mkdir()
    (root / "meta/train.txt").write_text("waffles/2\napple_pie/1\n\n")
    (root / "meta/test.txt").write_text("apple_pie/2\r\nwaffles/1\r\n")
    return root


def test_food_has_its_official_test_split(food: Path) -> None:
    """Before, its images were split anew: models that learned from its test images."""
    catalog = read_data(food, val_share=0)
    assert catalog.layout == "Food-101"
    assert catalog.names == ("apple_pie", "waffles")
    assert [(s.name, s.labels[0], s.split) for s in catalog.samples] == [
        ("images/waffles/2.jpg", "waffles", "train"),
        ("images/apple_pie/1.jpg", "apple_pie", "train"),
        ("images/apple_pie/2.jpg", "apple_pie", "test"),
        ("images/waffles/1.jpg", "waffles", "test"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("waffles\n", r"meta/train.txt line 1: 'waffles' is not CLASS/NAME"),
        ("waffles/1\n../../x/1\n", r"meta/train.txt line 2: .*outside of"),
        ("waffles/9\n", r"meta/train.txt: 'images/waffles/9.jpg' not found \(1 of 3\)"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(food: Path, text: str, said: str) -> None:
    (food / "meta/train.txt").write_text(text)
    with pytest.raises(LookcloserError, match=said):
        read_data(food)


def test_textures_are_those_of_the_first_partition(write: Any) -> None:
    names = [f"{label}/{label}_000{i}.jpg" for label in ("banded", "woven") for i in range(3)]
    root = write(*(f"dtd/images/{name}" for name in names)) / "dtd"
    (root / "labels").mkdir()
    for number, split in enumerate(("train", "val", "test")):
        for part in (1, 2):
            listed = names[(number + part - 1) % 3 :: 3]
            (root / f"labels/{split}{part}.txt").write_text("\n".join(listed))
    catalog = read_data(root)
    assert catalog.layout == "Describable Textures"
    assert {(sample.labels[0], sample.split, sample.name[-5]) for sample in catalog.samples} == {
        (label, split, digit)
        for label in ("banded", "woven")
        for split, digit in (("train", "0"), ("val", "1"), ("test", "2"))
    }
