"""An XML beside each image, or in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data.readers import labelimg


def xml(*objects: tuple[str, tuple[float, ...] | None], more: str = "") -> str:
    """An annotation of (name, corners or None) each."""
    keys = ("xmin", "ymin", "xmax", "ymax")
    found = ""
    for name, corners in objects:
        marks = zip(keys, corners or (), strict=bool(corners))
        box = "".join(f"<{key}>{value}</{key}>" for key, value in marks)
        found += f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"
    return f"<annotation>{found if objects else ''}</annotation>".replace("<bndbox></bndbox>", "")


CAT, DOG = ("cat", (1, 2, 5, 6)), ("dog", (3, 3, 8, 6))


@pytest.fixture
def data(write: Any) -> Any:
    def data(images: list[str], texts: dict[str, str]) -> Path:
        root: Path = write(*images)
        for name, text in texts.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        return root

    return data


def test_objects_are_tags_and_boxes(data: Any) -> None:
    root = data(["1.jpg", "2.png"], {"1.xml": xml(CAT, DOG, CAT), "2.xml": xml()})
    catalog = labelimg.read(root, skip_missing=False)
    assert (catalog.layout, catalog.task, catalog.names) == (
        "labelImg", "multilabel", ("cat", "dog")
    )  # fmt: skip
    one, two = catalog.samples
    assert (one.name, one.labels, two.name, two.labels) == ("1.jpg", ("cat", "dog"), "2.png", ())
    assert one.boxes == (
        ("cat", (0.0, 1.0, 5.0, 6.0)), ("dog", (2.0, 2.0, 8.0, 6.0)), ("cat", (0.0, 1.0, 5.0, 6.0))
    )  # fmt: skip
    assert two.boxes == catalog.notes == ()


@pytest.mark.parametrize(
    ("image", "annotation", "split"),
    [
        ("{}.jpg", "xml/{}.xml", None),
        ("Images/{}.jpg", "Annotations/{}.xml", None),
        ("valid/{}.jpg", "valid/{}.xml", "val"),
        ("test/images/{}.jpg", "test/labels/{}.XML", "test"),
    ],
)
def test_places(data: Any, image: str, annotation: str, split: str | None) -> None:
    root = data([image.format(i) for i in "12"], {annotation.format(i): xml(CAT) for i in "12"})
    assert labelimg.recognizes(root)
    samples = labelimg.read(root, skip_missing=False).samples
    assert [s.name for s in samples] == [image.format(i) for i in "12"]
    assert {s.split for s in samples} == {split}
    assert all(s.source == root / s.name for s in samples)


@pytest.mark.parametrize(
    "texts",
    [{"1.xml": "<html></html>"}, {".1.xml": xml(CAT)}, {"other/1.xml": xml(CAT)},
     {"a/xml/1.xml": xml(CAT)}, {}],
)  # fmt: skip
def test_other_xml_is_not_claimed(data: Any, texts: dict[str, str]) -> None:
    root = data(["1.jpg"], texts)
    (root / "folder.xml").mkdir()
    assert not labelimg.recognizes(root)
    assert not labelimg.recognizes(root / "1.jpg")


def test_what_is_odd_is_told(data: Any) -> None:
    flat, none = ("flat", (5, 2, 4, 6)), ("bare", None)
    root = data(
        ["1.jpg", "2.jpg", "3.jpg"],
        {"1.xml": xml(CAT, flat, none), "2.xml": xml(DOG, more="<difficult>1</difficult>")},
    )
    catalog = labelimg.read(root, skip_missing=False)
    assert catalog.notes == (
        "1 image ('3.jpg') without annotations left out",
        "1 object marked as difficult: tags like the others (the VOC scores leave them out)",
        "1 object with a box without area: the tag is kept",
    )
    assert catalog.samples[0].labels == ("cat", "flat", "bare")
    assert [label for label, _ in catalog.samples[0].boxes] == ["cat"]


def test_an_annotation_without_its_image(data: Any) -> None:
    root = data(["1.jpg"], {"1.xml": xml(CAT), "2.xml": xml(DOG)})
    with pytest.raises(LookcloserError, match=r"^2\.xml: '2' not found \(1 of 2\)"):
        labelimg.read(root, skip_missing=False)
    catalog = labelimg.read(root, skip_missing=True)
    assert catalog.skipped == (("2", "2.xml: not found"),)
    assert catalog.names == ("cat",), "what is not there has no name"


@pytest.mark.parametrize(
    ("images", "texts", "message"),
    [
        (["1.jpg"], {"1.xml": xml(CAT), "xml/1.xml": xml(DOG)}, "xml/1.xml: '1.jpg' is at 1.xml"),
        (["1.jpg", "1.png"], {"1.xml": xml(CAT)}, "'1' may be '1.jpg', '1.png'"),
        (["1.jpg"], {"1.xml": xml((" ", None))}, "1.xml: an object without a name"),
        (["1.jpg"], {"1.xml": xml(("a", (1, 2, 3, float("nan"))))}, "a corner is not finite"),
        (["1.jpg"], {"1.xml": xml(CAT).replace("<xmin>1", "<xmin>")}, "1.xml: not an annotation"),
        (["1.jpg"], {"1.xml": xml(CAT)[:-9]}, "1.xml: not an annotation"),
    ],
)
def test_what_is_wrong_is_named(
    data: Any, images: list[str], texts: dict[str, str], message: str
) -> None:
    with pytest.raises(LookcloserError, match=message):
        labelimg.read(data(images, texts), skip_missing=False)
