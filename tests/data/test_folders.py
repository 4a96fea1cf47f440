from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import ImageFolder

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data
from lookcloser.data.readers import folders


def labels_of(catalog: Catalog) -> dict[str, str]:
    return {sample.name: sample.labels[0] for sample in catalog.samples}


def test_class_folders_equal_torchvisions_image_folder(write: Any) -> None:
    root = write("Cat/1.jpg", "Cat/2.png", "ant bee/x.JPG", "dog/deep/er/3.jpg", "dog/4.jpg")
    peer = ImageFolder(str(root))
    catalog = folders.read(root, skip_missing=False)
    expected = {str(Path(path).relative_to(root)): peer.classes[i] for path, i in peer.samples}
    assert labels_of(catalog) == expected
    assert catalog.names == tuple(peer.classes) == ("Cat", "ant bee", "dog")
    assert (catalog.task, catalog.layout, catalog.splits) == ("classification", "class folders", ())
    assert all(sample.source == root / sample.name for sample in catalog.samples)


@pytest.mark.parametrize(
    "words",
    [("train", "val", "test"), ("Training", "Valid", "TEST"), ("train", "validation", "testing")],
)
def test_splits_are_folders_under_several_names(words: tuple[str, ...], write: Any) -> None:
    names = [f"{word}/{label}/{i}.jpg" for word in words for label in "ab" for i in range(2)]
    catalog = read_data(write(*names))
    assert catalog.names == ("a", "b")
    assert catalog.notes == ()
    expected = dict(zip(words, ("train", "val", "test"), strict=True))
    assert {sample.name: sample.split for sample in catalog.samples} == {
        name: expected[name.split("/")[0]] for name in names
    }


def test_two_folders_of_one_split_are_refused(write: Any) -> None:
    root = write("train/a/1.jpg", "val/a/1.jpg", "valid/a/2.jpg")
    with pytest.raises(LookcloserError, match=r"train, val, valid: several folders of one split"):
        read_data(root)


def test_classes_called_like_splits_are_classes_beside_others(write: Any) -> None:
    catalog = folders.read(write("train/1.jpg", "bus/1.jpg", "test/1.jpg"), skip_missing=False)
    assert catalog.names == ("bus", "test", "train")
    assert catalog.splits == ()


def test_splits_without_class_folders_are_no_classes(write: Any) -> None:
    root = write("train/1.jpg", "test/2.jpg")
    assert not folders.recognizes(root)


def test_an_unlabeled_test_folder_is_passed_over(write: Any) -> None:
    names = [f"train/{label}/{i}.jpg" for label in "ab" for i in range(5)]
    catalog = read_data(write(*names, "test/1.jpg", "test/2.jpg"))
    assert sorted(sample.name for sample in catalog.samples) == sorted(names)
    assert Counter(sample.split for sample in catalog.samples)["test"] == 2


def test_images_one_folder_below_the_class(write: Any) -> None:
    catalog = read_data(write("train/n01/images/1.jpg", "train/n02/images/1.jpg"))
    assert catalog.names == ("n01", "n02")
    assert catalog.samples[0].name == "train/n01/images/1.jpg"


@pytest.mark.parametrize(
    "names",
    [
        ("birds/train/a/1.jpg", "birds/test/a/1.jpg", "cars/a/1.jpg"),
        ("birds/sparrow/1.jpg", "birds/finch/1.jpg", "cars/1.jpg"),
        ("1.jpg", "2.jpg"),
    ],
)
def test_folders_of_data_sets_are_no_classes(names: tuple[str, ...], write: Any) -> None:
    assert not folders.recognizes(write(*names))


def test_other_files_and_hidden_names_do_not_matter(write: Any) -> None:
    root = write("a/1.jpg", "b/1.jpg", ".git/x.jpg", "a/.thumbs/2.jpg")
    (root / "README.md").touch()
    (root / "a" / "Thumbs.db").touch()
    (root / "empty").mkdir()
    (root / "notes").mkdir()
    (root / "notes" / "n.txt").touch()
    assert labels_of(read_data(root)) == {"a/1.jpg": "a", "b/1.jpg": "b"}


def test_a_link_to_a_class_folder_counts(write: Any, tmp_path: Path) -> None:
    write("store/1.jpg", "data/a/1.jpg")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "store")
    assert labels_of(read_data(tmp_path / "data")) == {"a/1.jpg": "a", "b/1.jpg": "b"}


def test_images_beside_class_folders_are_said(write: Any) -> None:
    catalog = read_data(write("cat/1.png", "dog/1.png", "stray.png"), val_share=0, test_share=0)
    assert catalog.names == ("cat", "dog")
    assert catalog.notes == ("1 image ('stray.png') in no class folder: left out",)


def test_a_folder_of_images_with_one_below_is_no_data_set(write: Any) -> None:
    root = write("1.png", "2.png", "more/3.png")
    with pytest.raises(LookcloserError, match="found 1 folder .'more'., 2 images without labels"):
        read_data(root)


def test_masks_beside_the_classes_are_no_class(write: Any) -> None:
    images = [f"{label}/{i}.jpg" for label in ("a", "b", "c") for i in range(2)]
    root = write(*images, "masks/a/0.png", "masks/b/0.png")
    catalog = folders.read(root, skip_missing=False)
    assert catalog.names == ("a", "b", "c")
    assert sorted(sample.name for sample in catalog.samples) == sorted(images)


def test_masks_may_be_a_class(write: Any) -> None:
    assert folders.read(write("hats/1.jpg", "masks/1.jpg"), False).names == ("hats", "masks")
    names = folders.read(write("hats/1.jpg", "masks/images/1.jpg"), False).names
    assert names == ("hats", "masks")
