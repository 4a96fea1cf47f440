import shutil
from pathlib import Path
from typing import Any

import pytest
from torchvision.datasets import VOCDetection

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data

PART = (
    "<part><name>head</name>"
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
)


def thing(name: str, box: str = "", difficult: int = 0, more: str = "") -> str:
    """An object; ``box`` is "xmin ymin xmax ymax"."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(keys, box.split(), strict=bool(box)))
    bndbox = f"<bndbox>{corners}</bndbox>" if box else ""
    return f"<object><name>{name}</name><difficult>{difficult}</difficult>{bndbox}{more}</object>"


def annotate(year: Path, stem: str, *things: str) -> None:
    folder = year / "Annotations"
    folder.mkdir(exist_ok=True)
    text = f"<annotation><filename>{stem}.jpg</filename>{''.join(things)}</annotation>"
    (folder / f"{stem}.xml").write_text(text)


def lists(year: Path, **stems: str) -> None:
    folder = year / "ImageSets/Main"
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in stems.items():
        (folder / f"{split}.txt").write_text("\n".join(names.split()) + "\n")


@pytest.fixture
def year(write: Any) -> Path:
    """VOCdevkit/VOC2007 with images 1 to 5, of which 5 is in no list."""
    images = (f"VOCdevkit/VOC2007/JPEGImages/{i}.jpg" for i in "12345")
    root: Path = write(*images) / "VOCdevkit/VOC2007"
    annotate(
        root, "1", thing("dog", "3 2 8 6"), thing("cat", "1 1 8 6", 1), thing("dog", "1 1 1 1")
    )
    annotate(root, "2", thing("person", "1.5 2 3 4.5", more=PART))
    annotate(root, "3")
    annotate(root, "4", thing("cat"))
    annotate(root, "5", thing("eel"))
    lists(root, train="1 2", val="3", trainval="1 2 3", test="4")
    return root


def read(path: Path, **options: Any) -> Catalog:
    return read_data(path, val_share=0, test_share=0, **options)


def error_of(path: Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path)
    return str(caught.value)


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_year_the_kit_and_what_holds_it(year: Path, up: int) -> None:
    catalog = read([year, *year.parents][up])
    assert (catalog.layout, catalog.task, catalog.root) == ("PASCAL VOC", "multilabel", year)
    assert catalog.names == ("cat", "dog", "person")
    # 1-based and inclusive there; here from 0, x1 and y1 exclusive.
    boxes = (
        ("dog", (2.0, 1.0, 8.0, 6.0)),
        ("cat", (0.0, 0.0, 8.0, 6.0)),
        ("dog", (0.0, 0.0, 1.0, 1.0)),
    )
    assert [(s.name, s.split, s.labels, s.boxes) for s in catalog.samples] == [
        ("JPEGImages/1.jpg", "train", ("dog", "cat"), boxes),
        ("JPEGImages/2.jpg", "train", ("person",), (("person", (0.5, 1.0, 3.0, 4.5)),)),
        ("JPEGImages/3.jpg", "val", (), ()),
        ("JPEGImages/4.jpg", "test", ("cat",), ()),
    ]


def test_difficult_objects_are_tags_and_a_note(year: Path) -> None:
    (note,) = read(year).notes
    assert note == (
        "1 object marked as difficult: tags like the others (the VOC scores leave them out)"
    )


def test_boxes_equal_those_that_torchvision_reads(year: Path) -> None:
    ours = {sample.name: sample for sample in read(year).samples}
    theirs = VOCDetection(year.parents[1], year="2007", image_set="trainval")
    assert len(theirs) == 3
    for _, parsed in theirs:
        found = parsed["annotation"].get("object", [])
        corners = [tuple(float(v) for v in thing["bndbox"].values()) for thing in found]
        expected = [
            (thing["name"], (x0 - 1, y0 - 1, x1, y1))
            for thing, (x0, y0, x1, y1) in zip(found, corners, strict=True)
        ]
        sample = ours[f"JPEGImages/{parsed['annotation']['filename']}"]
        assert list(sample.boxes) == expected
        assert set(sample.labels) == {thing["name"] for thing in found}


def test_trainval_is_train_where_train_is_not_there(year: Path) -> None:
    (year / "ImageSets/Main/train.txt").unlink()
    assert [s.split for s in read(year).samples] == ["train", "train", "train", "test"]


def test_without_lists_every_annotation_counts(year: Path) -> None:
    for path in (year / "ImageSets/Main").iterdir():
        path.unlink()
    catalog = read(year)
    assert [s.name[-5] for s in catalog.samples] == ["1", "2", "3", "4", "5"]
    assert catalog.names == ("cat", "dog", "eel", "person")
    assert {s.split for s in catalog.samples} == {"train"}


def test_images_of_another_format(year: Path) -> None:
    image = year / "JPEGImages/4.jpg"
    image.rename(image.with_suffix(".PNG"))
    assert read(year).samples[3].source == image.with_suffix(".PNG")


def test_images_whose_annotation_is_not_published_are_left_out(year: Path) -> None:
    (year / "Annotations/4.xml").unlink()
    catalog = read(year)
    assert catalog.splits == ("train", "val")
    assert catalog.notes[0] == ("1 listed image ('JPEGImages/4.jpg') without annotations left out")


def test_an_image_that_is_not_there(year: Path) -> None:
    (year / "JPEGImages/3.jpg").unlink()
    assert error_of(year).startswith("val.txt line 1: 'JPEGImages/3.jpg' not found (1 of 4).")
    assert read(year, skip_missing=True).skipped == (
        ("JPEGImages/3.jpg", "val.txt line 1: not found"),
    )


def test_two_years(year: Path, write: Any) -> None:
    write("VOCdevkit/VOC2012/JPEGImages/1.jpg")
    annotate(year.parent / "VOC2012", "1", thing("cat"))
    assert error_of(year.parent).endswith("several years (VOC2007, VOC2012). Give one of them.")
    assert read(year.parent / "VOC2012").names == ("cat",)


def test_flat_boxes_give_tags_only(year: Path) -> None:
    annotate(year, "4", thing("cat", "5 1 4 2"), thing("dog", "5 1 5 1"))
    catalog = read(year)
    assert catalog.samples[3].labels == ("cat", "dog")
    assert catalog.samples[3].boxes == (("dog", (4.0, 0.0, 5.0, 1.0)),)
    assert catalog.notes[-1] == "1 object with a box without area: the tag is kept"


@pytest.mark.parametrize("listed", ["../secret", "../../secret", "/etc/passwd", "..\\secret"])
def test_nothing_outside_of_the_data_is_read(year: Path, listed: str) -> None:
    (year / "secret.jpg").touch()
    lists(year, test=listed)
    assert f"test.txt line 1: '{listed}.jpg' is outside of {year / 'JPEGImages'}" in error_of(year)


def test_an_image_that_is_listed_twice(year: Path) -> None:
    lists(year, test="4 1")
    assert error_of(year) == "test.txt line 2: '1' is at train.txt line 1 already."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotation/>', "document types and entities are not read"),
        ("<annotation>", "not an annotation with boxes: no element found"),
        ("<annotation>" * 80_000, "not an annotation with boxes: no element found"),
        (f"<annotation>{thing(' ')}</annotation>", "an object without a name"),
        (f"<annotation>{thing('a', '1 2 3 x')}</annotation>", "could not convert"),
        (f"<annotation>{thing('a', '1 2 3 nan')}</annotation>", "a corner is not finite"),
        ("<annotation><object><name>a</name><bndbox/></object></annotation>", "could not convert"),
        (
            f"<annotation>{' ' * (1 << 20)}</annotation>",
            "1,048,601 bytes. Allowed: at most 1,048,576",
        ),
    ],
)
def test_what_is_wrong_is_named(year: Path, text: str, message: str) -> None:
    path = year / "Annotations/2.xml"
    path.write_text(text)
    assert error_of(year).startswith(f"{path}: ")
    assert message in error_of(year)


def test_an_annotation_that_is_nested_deeply_does_no_harm(year: Path) -> None:
    depth = 80_000
    (year / "Annotations/2.xml").write_text("<a>" * depth + "</a>" * depth)
    assert read(year).samples[1].labels == ()


@pytest.mark.parametrize("folder", ["ImageSets", "ImageSets/Segmentation", "ImageSets/Layout"])
@pytest.mark.parametrize("name", ["train", "training", "TRAIN"])
def test_lists_in_other_places_are_read_too(year: Path, folder: str, name: str) -> None:
    shutil.rmtree(year / "ImageSets")
    (year / folder).mkdir(parents=True)
    (year / folder / f"{name}.txt").write_text("1\n2\n")
    (year / folder / "test.txt").write_text("3\n")
    found = {sample.name[-5]: sample.split for sample in read_data(year, val_share=0).samples}
    assert found == {"1": "train", "2": "train", "3": "test"}


@pytest.mark.parametrize("line", ["JPEGImages/{}.jpg", "VOC2007\\JPEGImages\\{}.jpg"])
def test_lists_of_paths(year: Path, line: str) -> None:
    lists(year, train=f"{line.format(1)} {line.format(2)}")
    train = [sample.name for sample in read_data(year, val_share=0).split("train")]
    assert train == ["JPEGImages/1.jpg", "JPEGImages/2.jpg"]


def test_lists_that_lead_to_no_annotation_are_said(year: Path) -> None:
    shutil.rmtree(year / "ImageSets")
    lists(year, train="x1 x2")
    with pytest.raises(LookcloserError, match=r"no annotation in Annotations for 2 listed images"):
        read_data(year)


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "GB2312", "UTF-16", "windows-1251"])
def test_annotations_in_the_encoding_that_they_declare(year: Path, encoding: str) -> None:
    name = {"ISO-8859-1": "grün", "windows-1251": "кот"}.get(encoding, "红")
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<annotation>{thing(name)}</annotation>'
    (year / "Annotations" / "1.xml").write_bytes(text.encode(encoding))
    assert name in read_data(year).names


@pytest.mark.parametrize("encoding", ["utf-7", "nonsense", "rot13", "idna"])
def test_encodings_that_could_hide_something_are_not_believed(year: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><annotation>{thing("a")}</annotation>'
    (year / "Annotations" / "1.xml").write_text(text)
    assert "a" in read_data(year).names  # read as UTF-8
    (year / "Annotations" / "1.xml").write_text(text.replace("<annotation>", "<!DOCTYPE x><a>"))
    with pytest.raises(LookcloserError, match="document types"):
        read_data(year)
