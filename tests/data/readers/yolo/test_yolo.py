"""Data sets of the YOLO family become tags with boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookcloser.annotation.formats import FORMATS
from lookcloser.annotation.records import Record, Thing
from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.data.catalog import Catalog
from lookcloser.data.checking.check import check_data
from lookcloser.data.readers.yolo import yolo

from .conftest import SIZE, Data

ROW, OTHER = "0 .5 .5 .2 .2\n", "1 .25 .5 .5 1\n"
PAGE = "train: images/train\nval: images/val\nnames: [cat, dog, owl]\n"
TWO = "images/train/1.jpg images/train/2.png images/val/3.jpg"
LABELS = {"labels/train/1.txt": ROW + OTHER, "labels/train/2.txt": "", "labels/val/3.txt": OTHER}


def read(path: Path, skip_missing: bool = False) -> Catalog:
    return yolo.read(path, skip_missing)


def splits(catalog: Catalog) -> dict[str, str | None]:
    return {sample.name: sample.split for sample in catalog.samples}


def error_of(path: Path, skip_missing: bool = False) -> str:
    with pytest.raises(LookcloserError) as caught:
        read(path, skip_missing)
    return str(caught.value)


def test_tags_and_boxes_in_pixels(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE, **LABELS})
    catalog = read_data(root)
    assert (catalog.layout, catalog.task, catalog.root) == ("YOLO", "multilabel", root)
    assert catalog.names == ("cat", "dog")
    one, two, three = catalog.samples
    assert (one.name, one.labels, one.split) == ("images/train/1.jpg", ("cat", "dog"), "train")
    assert one.source == root / one.name
    assert [label for label, _ in one.boxes] == ["cat", "dog"]
    assert one.boxes[0][1] == pytest.approx((16.0, 8.0, 24.0, 12.0))
    assert one.boxes[1][1] == pytest.approx((0.0, 0.0, 20.0, 20.0))
    assert (two.labels, two.boxes, two.split) == ((), (), "train")
    assert (three.labels, three.split) == (("dog",), "val")
    assert catalog.notes == ("Classes without an image are left out: 'owl'",)


def test_a_turned_image_is_upright(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE, **LABELS})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 40)).save(root / "images/val/3.jpg", exif=exif)
    assert read(root).samples[-1].boxes[0][1] == pytest.approx((0.0, 0.0, 20.0, 20.0))


@pytest.mark.parametrize("prefix", ["../", "/content/birds-3/", "C:\\birds\\"])
def test_paths_of_another_place(data: Data, prefix: str) -> None:
    """As exported by Roboflow: wrong relative to the file. Its test has no images."""
    page = "".join(f"{k}: {prefix}{f}/images\n" for k, f in
                   (("train", "train"), ("val", "valid"), ("test", "test")))  # fmt: skip
    root = data(
        "train/images/1.jpg valid/images/2.jpg",
        {"data.yaml": page + "nc: 2\nnames: ['cat', 'dog']\n", "README.roboflow.txt": "0 1 2 3 4",
         "train/labels/1.txt": ROW, "valid/labels/2.txt": OTHER},
    )  # fmt: skip
    for given in (root, root / "data.yaml"):
        catalog = read(given)
        assert splits(catalog) == {"train/images/1.jpg": "train", "valid/images/2.jpg": "val"}
        assert catalog.notes == (
            f"data.yaml line 1: '{prefix}train/images' is read as 'train/images'",
            f"data.yaml line 2: '{prefix}valid/images' is read as 'valid/images'",
            f"data.yaml line 3: '{prefix}test/images' is not there: test left out",
        )


def test_two_paths_are_not_one_folder(data: Data) -> None:
    page = "train: ../train/images\nval: ../valid/images\nnames: [cat]\n"
    root = data("images/1.jpg", {"data.yaml": page, "labels/1.txt": ROW})
    assert error_of(root).startswith(
        "data.yaml line 2: '../valid/images' and '../train/images' are both 'images'. Give the"
    )


def test_nothing_outside_is_read(data: Data) -> None:
    root = data(
        "inner/x/1.jpg outer/2.jpg",
        {"inner/data.yaml": "path: ..\ntrain: outer\nnames: [cat]\n", "outer/2.txt": ROW},
    )
    said = error_of(root / "inner")
    assert said == (
        f"data.yaml line 2: '../outer' is not in {root / 'inner'}. Allowed: folders and lists of "
        "images in that folder: none elsewhere is read. Put data.yaml into the folder that holds "
        "the images, and give that folder."
    )
    data("", {"inner/data.yaml": "train: t.txt\nnames: [cat]", "inner/x/1.txt": ROW})
    data("", {"inner/t.txt": "x/1.jpg\n../outer/2.jpg"})
    assert "t.txt line 2: '../outer/2.jpg' is outside of" in error_of(root / "inner")


def test_a_split_that_is_not_there(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE.replace("images/val", "images/dev"), **LABELS})
    assert error_of(root).endswith("--skip-missing leaves out val.")
    catalog = read(root, skip_missing=True)
    assert splits(catalog) == {"images/train/1.jpg": "train", "images/train/2.png": "train"}
    assert "data.yaml line 2: 'images/dev' is not there: val left out" in catalog.notes


def test_urls_are_refused_and_nothing_is_run(data: Data) -> None:
    page = "train: images/train\nnames: [cat, dog]\ndownload: |\n  open('made', 'w')\n"
    root = data(TWO, {"data.yaml": page, **LABELS})
    assert "data.yaml: 'download' is not run" in read(root).notes
    assert not list(root.rglob("made"))
    (root / "data.yaml").write_text("path: here\ntrain: https://x/images/train\nnames: [cat]")
    assert "'https://x/images/train' is a URL, and nothing is downloaded" in error_of(root)


@pytest.mark.parametrize(
    ("folder", "keys", "split"),
    [
        ("images", ("train", "val"), "train"),
        ("images/val2017", ("train", "val"), "val"),
        ("images/test", ("train", "val", "test"), "test"),
    ],
)
def test_one_folder_of_several_splits(
    data: Data, folder: str, keys: tuple[str, ...], split: str
) -> None:
    page = "".join(f"{key}: {folder}\n" for key in keys) + "names: [cat]\n"
    label = folder.replace("images", "labels")
    root = data(f"{folder}/1.jpg", {"data.yaml": page, f"{label}/1.txt": ROW})
    catalog = read(root)
    assert splits(catalog) == {f"{folder}/1.jpg": split}
    (note,) = catalog.notes
    assert note.endswith(f"are the same images ('{folder}'), read as {split}")


def test_lists_of_images(data: Data) -> None:
    page = "path: .\ntrain: [lists/a.txt, lists/b.txt]\nval: images/val\nnames: {0: cat, 1: dog}\n"
    lists = {"lists/a.txt": "../images/train/1.jpg\r\n\r\n", "lists/b.txt": "images/train/2.png"}
    catalog = read(data(TWO, {"data.yaml": page, **lists, **LABELS}))
    assert splits(catalog) == {
        "images/train/1.jpg": "train", "images/train/2.png": "train", "images/val/3.jpg": "val"
    }  # fmt: skip


def test_a_listed_image_that_is_not_there(data: Data) -> None:
    page = "train: train.txt\nnames: [cat, dog]\n"
    lines = "images/train/1.jpg\nimages/train/2.png\nimages/train/9.jpg\n"
    root = data(TWO, {"data.yaml": page, "train.txt": lines, **LABELS})
    assert error_of(root).startswith("train.txt line 3: 'images/train/9.jpg' not found (1 of 3)")
    assert read(root, skip_missing=True).skipped == (
        ("images/train/9.jpg", "train.txt line 3: not found"),
    )


def test_a_label_without_its_image(data: Data) -> None:
    more = {"labels/train/a/9.txt": ROW, "labels/train/8.txt": "", "labels/train/7.txt": "notes"}
    root = data(TWO, {"data.yaml": PAGE, **LABELS, **more})
    assert error_of(root).startswith(
        "labels/train/a/9.txt: 'images/train/a/9' not found (1 of 4). --skip-missing drops"
    )
    catalog = read(root, skip_missing=True)
    assert catalog.skipped == (("images/train/a/9", "labels/train/a/9.txt: not found"),)
    assert len(catalog.samples) == 3


def test_an_image_in_two_splits(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE.replace("images/train", "images"), **LABELS})
    assert error_of(root) == (
        "data.yaml line 2: 'images/val/3.jpg' is in val, and in train by data.yaml line 1. List "
        "each image in one split."
    )


def test_background_and_what_is_not_labeled(data: Data) -> None:
    page = PAGE + "test: images/test\n"
    root = data(f"{TWO} images/test/4.jpg", {"data.yaml": page, **LABELS})
    (root / "labels/train/2.txt").unlink()
    catalog = read(root)
    assert catalog.splits == ("train", "val")
    assert catalog.notes[:2] == (
        "data.yaml line 4: no label file for any of 1 image in 'images/test': left out",
        "1 image ('images/train/2.png') without a label file: background, without tags",
    )


def test_no_label_at_all(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE})
    assert error_of(root).startswith(f"{root}: no label file beside any image. Allowed: labels/")
    assert not yolo.recognizes(root)


def test_odd_images_and_names(data: Data) -> None:
    page = "train: images/train\nnames: [cat, cat, cat]\n"
    root = data(
        TWO, {"data.yaml": page, **LABELS, "boxes.csv": "image,label\n1.jpg,x\n", "j.json": "[]"}
    )
    (root / "images/train/1.jpg").write_bytes(b"no image")
    catalog = read_data(root)
    assert (catalog.layout, catalog.names) == ("YOLO", ("cat",))
    assert catalog.samples[0].labels == ("cat",)
    assert catalog.samples[0].boxes == ()
    assert catalog.notes[:3] == (
        "1 image ('images/train/1.jpg') without a size that can be read: boxes left out",
        "Several numbers of one name, read as one class: 'cat'",
        "Not read: 'boxes.csv'; give one of them to read it instead",
    )


def test_wrong_lines_are_named(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE, **LABELS, "labels/val/3.txt": f"{ROW}3 .5 .5 .2 .2"})
    assert yolo.recognizes(root)
    assert error_of(root).startswith(
        "labels/val/3.txt line 2: '3' is not the number of a class. Allowed: 0 to 2."
    )


def test_links_are_followed_as_elsewhere(data: Data) -> None:
    root = data(f"{TWO} ../elsewhere/5.jpg", {"data.yaml": PAGE, **LABELS})
    (root / "images/train/5.jpg").symlink_to(root.parent / "elsewhere/5.jpg")
    (root / "images/train/again").symlink_to(root / "images")
    (root / "labels/train/5.txt").symlink_to("gone.txt")
    assert "5.txt: " in error_of(root)
    (root / "labels/train/5.txt").unlink()
    assert len(read(root).samples) == 4


def test_darknet_as_cvat_writes_it(data: Data) -> None:
    files = {
        "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = b/\n",
        "obj.names": "cat\ndog\n",
        "train.txt": "data/obj_train_data/1.jpg\ndata/obj_train_data/2.jpg\n",
        "obj_train_data/1.txt": ROW,
        "obj_train_data/2.txt": "",
    }
    root = data("obj_train_data/1.jpg obj_train_data/2.jpg", files)
    assert yolo.recognizes(root)
    for given in (root, root / "obj.data"):
        assert splits(read(given)) == dict.fromkeys(
            ("obj_train_data/1.jpg", "obj_train_data/2.jpg"), "train"
        )


def test_lists_without_their_images(data: Data) -> None:
    files = {"obj.data": "train = data/t.txt\nnames = obj.names\n", "obj.names": "cat\n"}
    root = data("", {**files, "t.txt": "data/all/1.jpg\ndata/all/2.jpg", "all/1.txt": ROW})
    assert error_of(root, skip_missing=True) == (
        f"t.txt line 1: 'data/all/1.jpg' not found (2 of 2); there are no images in {root}."
    )
    data("all/1.jpg")
    assert error_of(root).startswith("t.txt line 2: 'data/all/2.jpg' not found (1 of 2)")
    catalog = read(root, skip_missing=True)
    assert [sample.labels for sample in catalog.samples] == [("cat",)]
    assert catalog.notes == ("obj.data line 1: 'data/t.txt' is read as 't.txt'",)


def test_as_label_studio_writes_it(data: Data) -> None:
    notes = {"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}], "info": {}}
    files = {"classes.txt": "cat\ndog", "notes.json": json.dumps(notes), "labels/1.txt": OTHER}
    catalog = read_data(data("images/1.jpg images/2.jpg", files), val_share=0, test_share=0)
    assert (catalog.layout, catalog.names) == ("YOLO", ("dog",))
    assert catalog.made == ("train",)


def test_as_labelimg_writes_it(data: Data) -> None:
    root = data("1.jpg 2.jpg masks/1.png", {"classes.txt": "cat\n", "1.txt": ROW})
    assert [s.name for s in read_data(root).samples] == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("files", [{"labels/1.txt": ROW}, {"data.yaml": PAGE}, {"a.yaml": "x: 1"}])
def test_other_folders_are_not_claimed(data: Data, files: dict[str, str]) -> None:
    root = data("images/1.jpg cat/2.jpg", files)
    assert not yolo.recognizes(root)
    assert not yolo.recognizes(root / "images/1.jpg")


def test_a_table_is_read_where_classes_have_no_names(data: Data) -> None:
    table = "image,label\n1.jpg,cat\n2.jpg,dog\n"
    root = data("images/1.jpg images/2.jpg", {"labels/1.txt": ROW, "labels.csv": table})
    assert read_data(root).layout == "table"


@pytest.mark.parametrize("kept", [("train", "val"), ("train", "test"), ("val",), (None,)])
def test_what_annotate_writes_is_read(data: Data, tmp_path: Path, kept: tuple[Any, ...]) -> None:
    root = data(" ".join(f"{i}.jpg" for i in range(4)))
    outline = [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]
    things = (
        (Thing("owl, 'x'", 0.5, (2.5, 3.0, 12.25, 9.0), 60.0, None),
         Thing("no", 0.5, (0.0, 0.0, 40.0, 20.0), 800.0, None)),
        (Thing("no", 0.5, (2.0, 3.0, 12.0, 9.0), 60.0, outline),),
        (),
        (Thing("no", 0.5, (0.0, 19.0, 1.0, 20.0), 1.0, None),),
    )  # fmt: skip
    records = [
        Record(f"{i}.jpg", str(root / f"{i}.jpg"), kept[i % len(kept)], SIZE, on_it)
        for i, on_it in enumerate(things)
    ]
    FORMATS["yolo"](tmp_path / "out", records, ["no", "owl, 'x'"])
    catalog = read_data(tmp_path / "out", val_share=0, test_share=0)
    assert (catalog.layout, catalog.names) == ("YOLO", ("no", "owl, 'x'"))
    by_stem = {sample.name[-5]: sample for sample in catalog.samples}
    assert len(by_stem) == len(records)
    for record in records:
        sample = by_stem[record.name[0]]
        assert sample.split == (record.split or "train")
        assert [label for label, _ in sample.boxes] == [thing.label for thing in record.things]
        for (_, box), thing in zip(sample.boxes, record.things, strict=True):
            assert box == pytest.approx(thing.box, abs=1e-4)


def test_the_check_has_no_complaint(data: Data) -> None:
    root = data(TWO, {"data.yaml": PAGE, **LABELS, "labels/train.cache": "", "boxes.csv": "a\n"})
    report = check_data(read_data(root))
    assert (report.layout, report.boxes, report.unread) == ("YOLO", 3, ())
    assert not [p for p in report.problems if p.severity == "warning" and "box" in p.text]


def test_it_says_what_coco_says(shared_data: Any, tmp_path: Path) -> None:
    """The same photographs in both forms."""
    source = shared_data("coco200")
    coco = read_data(source)
    number = {name: i for i, name in enumerate(coco.names)}
    (tmp_path / "images").symlink_to(source / "images")
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("\n".join(coco.names))
    for sample in coco.samples:
        with Image.open(str(sample.source)) as image:
            width, height = image.size
        lines = [
            f"{number[str(label)]} {(x0 + x1) / 2 / width:.8f} {(y0 + y1) / 2 / height:.8f} "
            f"{(x1 - x0) / width:.8f} {(y1 - y0) / height:.8f}\n"
            for label, (x0, y0, x1, y1) in sample.boxes
        ]
        (tmp_path / "labels" / f"{Path(sample.name).stem}.txt").write_text("".join(lines))
    found = {Path(sample.name).name: sample for sample in read_data(tmp_path).samples}
    assert len(found) == len(coco.samples) > 200
    for sample in coco.samples:
        ours = found[Path(sample.name).name]
        assert [label for label, _ in ours.boxes] == [label for label, _ in sample.boxes]
        for (_, box), (_, true) in zip(ours.boxes, sample.boxes, strict=True):
            assert box == pytest.approx(true, abs=1e-2)
