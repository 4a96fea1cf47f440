"""Folders as people have them: Kaggle's, archives in archives, trees, annotations beside images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data, validate_for_training

XML = (
    "<annotation><object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>5</xmax><ymax>4</ymax></bndbox></object></annotation>"
)


def labels(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {sample.name: sample.labels for sample in catalog.samples}


def error_of(path: Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path)
    return str(caught.value)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


class TestPartsAreNoClasses:
    @pytest.mark.parametrize(
        "folders",
        [
            ("train_images", "test_images"),
            ("images", "masks"),
            ("train", "test1"),
            ("Training_Set", "Test_Set"),
            ("train2017", "val2017"),
            ("seg_train", "seg_pred", "seg_test"),
        ],
    )
    def test_folders_of_splits_or_of_kinds_of_files(self, write: Any, folders: Any) -> None:
        root = write(*(f"{name}/{i}.jpg" for name in folders[:2] for i in range(3)))
        assert "without classes" in error_of(root)

    def test_archives_in_archives(self, write: Any) -> None:
        names = [
            f"seg_{s}/seg_{s}/{c}/{i}.jpg" for s in ("train", "test") for c in "ab" for i in "12"
        ]
        catalog = read_data(write(*names, "seg_pred/seg_pred/1.jpg"))
        assert catalog.names == ("a", "b")
        assert catalog.counts()["test"] == {"a": 2, "b": 2}

    @pytest.mark.parametrize("pair", [("train_images", "test_images"), ("train-set", "val-set")])
    def test_words_around_the_split(self, write: Any, pair: tuple[str, str]) -> None:
        catalog = read_data(write(*(f"{s}/{c}/{i}.jpg" for s in pair for c in "ab" for i in "123")))
        assert catalog.names == ("a", "b")
        assert len(catalog.splits) >= 2

    def test_words_that_are_classes(self, write: Any) -> None:
        catalog = read_data(write("train_station/1.jpg", "test_tube/1.jpg", "mask/1.jpg"))
        assert catalog.names == ("mask", "test_tube", "train_station")
        assert any("'mask'" in note for note in catalog.notes)

    def test_classes_in_the_names_of_files(self, write: Any) -> None:
        root = write(*(f"train/{c}.{i}.jpg" for c in ("cat", "dog") for i in range(4)))
        message = error_of(root)
        assert "classes seem to stand in the names of the files (cat.0.jpg, dog.0.jpg)" in message
        assert "Move them into folders such as cat/, dog/" in message

    def test_yolo_is_told_apart(self, write: Any) -> None:
        root = write(*(f"{s}/images/{i}.jpg" for s in ("train", "valid") for i in range(3)))
        text(root / "train/labels/0.txt", "0 .5 .5 .2 .2")
        assert "looks like a YOLO data set (labels/*.txt), but its classes" in error_of(root)
        for images in (root / "train/images", root / "train/images/day"):
            write("train/images/day/1.jpg")
            assert (
                "the images of a YOLO data set without their labels. Give the folder of both, "
                in (error_of(images))
            )
        text(root / "data.yaml", "names: [a, b]")
        assert f"Give the folder above, '{root}', where data.yaml is" in error_of(root / "train")
        catalog = read_data(root)
        assert (catalog.layout, catalog.names) == ("YOLO", ("a",))
        assert any(
            "no label file for any of 3 images in 'valid/images'" in n for n in catalog.notes
        )

    @pytest.mark.parametrize("page", ["names: [cat, dog]\ntrain: train\nval: val", "nc: 2"])
    def test_class_folders_of_the_yolo_family(self, write: Any, page: str) -> None:
        root = write(*(f"{s}/{c}/1.jpg" for s in ("train", "val", "test") for c in ("cat", "dog")))
        text(root / "data.yaml", page)
        catalog = read_data(root)
        assert (catalog.layout, catalog.names) == ("class folders", ("cat", "dog"))
        assert catalog.splits == ("train", "val", "test")
        with pytest.raises(LookcloserError, match="Its folders are classes: give the folder"):
            read_data(root / "data.yaml")

    def test_one_class_says_what_lies_beside(self, write: Any) -> None:
        root = write("faces/1.jpg", "faces/2.jpg")
        text(root / "list.csv", "face,smile\n1,2\n")
        with pytest.raises(LookcloserError, match=r"list\.csv \(columns face, smile\) is not read"):
            validate_for_training(read_data(root))

    def test_a_data_set_one_folder_down(self, write: Any) -> None:
        root = write("cub/images/001.A/1.jpg", "cub/images/002.B/2.jpg")
        text(root / "cub/images.txt", "1 001.A/1.jpg\n2 002.B/2.jpg\n")
        text(root / "cub/image_class_labels.txt", "1 1\n2 2\n")
        text(root / "cub/classes.txt", "1 001.A\n2 002.B\n")
        assert "Give one of its folders: 'cub' (CUB-200-2011)" in error_of(root)


class TestTrees:
    def test_the_lowest_folders_are_classes_and_those_above_are_kept(self, write: Any) -> None:
        names = ["cats/lion", "cats/tiger", "dogs/wolf", "dogs/fox"]
        catalog = read_data(write(*(f"{name}/{i}.jpg" for name in names for i in range(3))))
        assert catalog.names == ("fox", "lion", "tiger", "wolf")
        assert catalog.parents == {"lion": "cats", "tiger": "cats", "wolf": "dogs", "fox": "dogs"}
        assert any("4 classes are the lowest ones, in 2 groups" in note for note in catalog.notes)

    def test_three_levels_below_splits(self, write: Any) -> None:
        leaves = ["m/cats/lion", "m/dogs/wolf", "b/owls/snowy", "b/owls/barn"]
        names = [f"{s}/{leaf}/{i}.jpg" for s in ("train", "val") for leaf in leaves for i in "12"]
        catalog = read_data(write(*names))
        assert catalog.names == ("barn", "lion", "snowy", "wolf")
        assert catalog.parents["lion"] == "m/cats"
        assert catalog.parents["m/cats"] == "m"
        assert "m" not in catalog.parents

    def test_a_name_that_is_taken_keeps_its_path(self, write: Any) -> None:
        leaves = ["a/red", "a/blue", "a/green", "b/red", "b/white", "b/black", "b/gray"]
        catalog = read_data(write(*(f"{leaf}/{i}.jpg" for leaf in leaves for i in "12")))
        assert {"a/red", "b/red", "blue", "white"} <= set(catalog.names)

    def test_one_name_in_each_of_two_groups_is_enough_to_be_a_tree(self, write: Any) -> None:
        leaves = ["a/red", "a/blue", "b/red", "b/white"]
        catalog = read_data(write(*(f"{leaf}/{i}.jpg" for leaf in leaves for i in "12")))
        assert catalog.names == ("a/red", "b/red", "blue", "white")
        assert catalog.parents == {"a/red": "a", "b/red": "b", "blue": "a", "white": "b"}

    @pytest.mark.parametrize(
        "leaves",
        [("day/cat", "day/dog", "night/cat", "night/dog"), ("images/cat", "masks/cat")],
    )
    def test_the_same_folders_in_each_are_no_tree(self, write: Any, leaves: Any) -> None:
        root = write(*(f"{leaf}/{i}.jpg" for leaf in leaves for i in "12"))
        message = error_of(root)
        assert "the same folders ('cat', 'dog') in each of" in message or "Give one of" in message

    def test_trees_of_several_depths_are_refused(self, write: Any) -> None:
        root = write("a/b/1.jpg", "a/c/1.jpg", "d/1.jpg", "d/e/1.jpg")
        assert "Layouts that are recognized" in error_of(root)


class TestAroundTheClasses:
    def test_one_folder_around_all_is_no_group(self, write: Any) -> None:
        catalog = read_data(write(*(f"archive/{c}/{i}.jpg" for c in "ab" for i in range(2))))
        assert (catalog.names, catalog.parents) == (("a", "b"), {})

    def test_groups_below_it_are(self, write: Any) -> None:
        names = (f"archive/{c}/{i}.jpg" for c in ("x/a", "y/b") for i in range(2))
        assert read_data(write(*names)).parents == {"a": "archive/x", "b": "archive/y"}

    def test_classes_named_after_a_split_are_said(self, write: Any) -> None:
        names = (f"{c}/{i}.jpg" for c in ("training_real", "training_fake") for i in range(3))
        notes = read_data(write(*names)).notes
        said = "Named after a split, but read as classes: 'training_fake', 'training_real'"
        assert said in notes

    @pytest.mark.parametrize("place", ["top", "top/archive"])
    def test_data_sets_further_down_are_named(self, write: Any, place: str) -> None:
        kinds = [f"{kind}/{c}" for kind in ("color", "gray") for c in ("apple", "grape")]
        root = write(*(f"{place}/{kind}/{i}.jpg" for kind in kinds for i in range(2)))
        assert f"Give one of its folders: '{place}/color' (class folders), " in error_of(root)


class TestTablesApart:
    @pytest.mark.parametrize("folder", ["annotations", "labels", "csv"])
    def test_a_table_in_a_folder_beside_the_images(self, write: Any, folder: str) -> None:
        root = write(*(f"images/{i}.jpg" for i in range(4)))
        text(
            root / folder / "t.csv",
            "file,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(4)),
        )
        for given in (root, root / folder / "t.csv"):
            catalog = read_data(given)
            assert (catalog.names, len(catalog.samples)) == (("a", "b"), 4)

    def test_one_for_each_split(self, write: Any) -> None:
        root = write(*(f"images/{s}/{i}.jpg" for s in ("train", "test") for i in range(4)))
        for split in ("train", "test"):
            rows = "".join(f"{i}.jpg,{'ab'[i % 2]}\n" for i in range(4))
            text(root / "labels" / f"{split}.csv", f"image,label\n{rows}")
        found = {sample.name: sample.split for sample in read_data(root, val_share=0).samples}
        assert found == {f"images/{s}/{i}.jpg": s for s in ("train", "test") for i in range(4)}


class TestAPartGivenAlone:
    def test_a_folder_named_test_is_all_test(self, write: Any) -> None:
        root = write(*(f"{s}/{c}/{i}.jpg" for s in ("train", "test") for c in "ab" for i in "1234"))
        catalog = read_data(root / "test")
        assert catalog.splits == ("test",)
        assert len(catalog.split("all")) == 8
        with pytest.raises(LookcloserError, match="named like a split: give the folder above it"):
            validate_for_training(catalog)
        assert read_data(root / "train").splits == ("train", "test")

    def test_what_is_scored_where_nothing_is_said(self, write: Any) -> None:
        root = write(*(f"{s}/{c}/{i}.jpg" for s in ("train", "val") for c in "ab" for i in "12"))
        assert read_data(root).scored == "val"
        assert read_data(root / "train", val_share=0, test_share=0).scored == "train"


class TestAnnotationsBesideImages:
    @pytest.mark.parametrize(
        ("image", "xml"),
        [
            ("{}.jpg", "{}.xml"),
            ("images/{}.jpg", "annotations/{}.xml"),
            ("train/{}.JPG", "train/{}.XML"),
        ],
    )
    def test_each_image_has_one(self, write: Any, image: str, xml: str) -> None:
        root = write(*(image.format(f"my photo {i}") for i in range(4)))
        for i in range(4):
            text(root / xml.format(f"my photo {i}"), XML.format("ab"[i % 2]))
        catalog = read_data(root)
        assert (catalog.layout, catalog.task, catalog.names) == (
            "labelImg",
            "multilabel",
            ("a", "b"),
        )
        sample = next(s for s in catalog.samples if "photo 1" in s.name)
        assert (sample.labels, sample.boxes) == (("b",), (("b", (0.0, 0.0, 5.0, 4.0)),))

    def test_in_a_folder_of_a_folder(self, write: Any) -> None:
        root = write("images/1.jpg", "images/2.jpg")
        for i in "12":
            text(root / f"annotations/xmls/{i}.xml", XML.format("cat"))
        assert {s.name for s in read_data(root).samples} == {"images/1.jpg", "images/2.jpg"}

    def test_the_image_that_an_annotation_names(self, write: Any) -> None:
        root = write("img1.jpg", "img2.jpg")
        for i in "12":
            named = XML.format("cat").replace(">", f"><filename>img{i}.jpg</filename>", 1)
            text(root / f"note{i}.xml", named)
        assert {s.name for s in read_data(root).samples} == {"img1.jpg", "img2.jpg"}

    def test_annotations_apart_from_any_image_offer_no_folder(self, write: Any) -> None:
        root = write("pics/1.jpg")
        text(root / "boxes" / "1.xml", XML.format("cat"))
        assert "'boxes' (labelImg)" not in error_of(root)

    def test_images_without_one_are_said(self, write: Any) -> None:
        root = write("0.jpg", "1.jpg")
        text(root / "0.xml", XML.format("a"))
        assert "1 image ('1.jpg') without annotations left out" in read_data(root).notes

    @pytest.mark.parametrize(
        "line", ["my photo {}", "my photo {}.jpg", "my photo {} 1", "my photo {}  -1"]
    )
    def test_lines_of_voc_lists(self, write: Any, line: str) -> None:
        root = write(*(f"JPEGImages/my photo {i}.jpg" for i in range(4)))
        for i in range(4):
            text(root / f"Annotations/my photo {i}.XML", XML.format("ab"[i % 2]))
        text(root / "ImageSets/Main/train.txt", "\n".join(line.format(i) for i in range(4)))
        catalog = read_data(root)
        assert catalog.layout == "PASCAL VOC"
        assert len(catalog.samples) == 4


class TestPublished:
    def test_nabirds(self, write: Any) -> None:
        root = write(*(f"images/081{7 + i % 2}/{i}.jpg" for i in range(4)))
        text(root / "images.txt", "".join(f"k-{i} 081{7 + i % 2}/{i}.jpg\n" for i in range(4)))
        text(root / "image_class_labels.txt", "".join(f"k-{i} {817 + i % 2}\n" for i in range(4)))
        text(
            root / "classes.txt", "0 Birds\n1 St. Lucia Ducks\n817 Oak Titmouse\n818 Wren (male)\n"
        )
        text(root / "hierarchy.txt", "1 0\n817 1\n818 1\n")
        catalog = read_data(root)
        assert catalog.names == ("Oak Titmouse", "Wren (male)")
        assert "Classes without an image are left out: 'Birds', 'St. Lucia Ducks'" in catalog.notes
        assert catalog.parents["Oak Titmouse"] == "St. Lucia Ducks"
        assert catalog.parents["St. Lucia Ducks"] == "Birds"

    def test_nus_wide(self, write: Any) -> None:
        root = write(*(f"Flickr/actor/{i}.jpg" for i in range(4)))
        text(root / "ImageList/TrainImagelist.txt", "actor\\0.jpg\nactor\\1.jpg\n")
        text(root / "ImageList/TestImagelist.txt", "actor\\2.jpg\nactor\\3.jpg\n")
        labels_of = root / "Groundtruth/TrainTestLabels"
        text(labels_of / "Labels_sky_Train.txt", "1\n0\n")
        text(labels_of / "Labels_sea_Train.txt", "1\n1\n")
        text(labels_of / "Labels_sky_Test.txt", "0\n1\n")
        text(labels_of / "Labels_sea_Test.txt", "0\n0\n")
        catalog = read_data(root, val_share=0)
        assert labels(catalog) == {
            "Flickr/actor/0.jpg": ("sea", "sky"),
            "Flickr/actor/1.jpg": ("sea",),
            "Flickr/actor/2.jpg": (),
            "Flickr/actor/3.jpg": ("sky",),
        }
        assert {sample.split for sample in catalog.samples} == {"train", "test"}

    @pytest.mark.parametrize(
        ("lines", "message"), [("1\n", "1 line for 2"), ("1\n2\n", "neither 0")]
    )
    def test_nus_wide_with_other_lines(self, write: Any, lines: str, message: str) -> None:
        root = write("0.jpg", "1.jpg")
        text(root / "ImageList/Imagelist.txt", "0.jpg\n1.jpg\n")
        text(root / "Groundtruth/AllLabels/Labels_sky.txt", lines)
        assert message in error_of(root)


class TestNames:
    def test_accents_in_two_forms_are_one_class(self, write: Any) -> None:
        nfc, nfd = "caf\u00e9", "cafe\u0301"
        names = [f"{s}/{c}/{i}.jpg" for s, c in (("train", nfc), ("test", nfd)) for i in "123"]
        catalog = read_data(write(*names, "train/tea/1.jpg", "train/tea/2.jpg"))
        assert catalog.names == (nfc, "tea")
        assert f"1 class written in several ways, read as one: '{nfc}'" in catalog.notes

    def test_blanks_that_nobody_sees(self, write: Any) -> None:
        root = write("0.jpg", "1.jpg", "2.jpg")
        text(
            root / "t.csv", "image,label\n0.jpg,great  tit\n1.jpg,great\u00a0tit\n2.jpg,owl\u200b\n"
        )
        assert read_data(root).names == ("great tit", "owl")

    def test_case_is_noted_and_kept(self, write: Any) -> None:
        catalog = read_data(write("Cat/1.jpg", "cat/1.jpg", "dog/1.jpg"))
        assert catalog.names == ("Cat", "cat", "dog")
        assert "Differ in case only, and are 2 classes: 'Cat', 'cat'" in catalog.notes

    def test_names_that_are_not_utf8_can_be_written(self, write: Any) -> None:
        root = write("a/1.jpg", "b/1.jpg", "b/2.jpg")

        os.rename(root / "a", os.path.join(os.fsencode(root), b"caf\xe9"))
        catalog = read_data(root)
        assert catalog.names == ("b", "caf\\xe9")
        assert "Names that are not UTF-8, with their bytes spelled out: 'caf\\xe9'" in catalog.notes
        for sample in catalog.samples:
            sample.name.encode()
            assert isinstance(sample.source, Path)
            assert sample.source.is_file()


@pytest.mark.parametrize("target", ["..", ".", "/"])
def test_a_link_to_where_the_classes_lie_is_no_class(write: Any, target: str) -> None:
    root = write(*(f"{name}/{i}.jpg" for name in ("cat", "dog") for i in range(3)))
    (root / "up").symlink_to(target)
    assert read_data(root).names == ("cat", "dog")
