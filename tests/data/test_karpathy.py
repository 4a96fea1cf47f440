import json
from pathlib import Path
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data


def image(name: str, split: str, *captions: str, **more: str) -> dict[str, Any]:
    said = [{"raw": text, "tokens": text.split(), "sentid": i} for i, text in enumerate(captions)]
    return {"filename": name, "split": split, "sentences": said, "imgid": 0, **more}


def save(path: Path, *entries: Any) -> Path:
    path.write_text(json.dumps({"dataset": "x", "images": entries}))
    return path


def read(path: Path, **options: Any) -> Catalog:
    return read_data(path, val_share=0, test_share=0, **options)


def error_of(path: Path) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path)
    return str(caught.value)


def test_splits_and_sentences(write: Any) -> None:
    root = write(*(f"flickr30k-images/{i}.jpg" for i in "1234"))
    path = save(
        root / "dataset_flickr30k.json",
        image("1.jpg", "train", " A dog. ", "two, dogs"),
        image("2.jpg", "restval", "the sea"),
        image("3.jpg", "val", "a"),
        image("4.jpg", "test", "b"),
    )
    for given in (root, path):
        catalog = read(given)
        assert (catalog.layout, catalog.task, catalog.root) == (
            "Karpathy captions",
            "captioning",
            root,
        )
        assert [(s.name, s.split, s.captions) for s in catalog.samples] == [
            ("flickr30k-images/1.jpg", "train", ("A dog.", "two, dogs")),
            ("flickr30k-images/2.jpg", "train", ("the sea",)),
            ("flickr30k-images/3.jpg", "val", ("a",)),
            ("flickr30k-images/4.jpg", "test", ("b",)),
        ]


def test_images_in_the_two_folders_of_coco(write: Any) -> None:
    root = write("images/train2014/1.jpg", "images/val2014/1.jpg")
    save(
        root / "dataset_coco.json",
        image("1.jpg", "train", "a", filepath="train2014"),
        image("1.jpg", "test", "b", filepath="val2014"),
    )
    assert [s.name for s in read(root).samples] == [
        "images/train2014/1.jpg",
        "images/val2014/1.jpg",
    ]


def test_coco_files_beside_it_come_first(write: Any) -> None:
    root = write("1.jpg")
    path = save(root / "dataset_coco.json", image("1.jpg", "train", "a"))
    (root / "instances.json").write_text(
        '{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [], "categories": []}'
    )
    assert read(root).layout == "COCO"
    assert read(path).layout == "Karpathy captions"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (image("2.jpg", "dev", "a"), "images[1]: 'dev' is not a split. Allowed: train, restval,"),
        (image("2.jpg", "val"), "images[1]: no sentences"),
        (image("2.jpg", "val", " "), "images[1] sentences[0]: 'raw' is empty"),
        (image("1.jpg", "val", "a"), "images[1]: '1.jpg' is at x.json images[0] already"),
        (image("../1.jpg", "val", "a"), "images[1]: '../1.jpg' is outside of "),
        (image("1.jpg", "val", "a", filepath="/etc"), "images[1]: '/etc/1.jpg' is outside of "),
        ({"filename": "2.jpg", "split": "val"}, "images[1]: no list 'sentences'"),
        ({"filename": "2.jpg", "sentences": []}, "images[1]: no text 'split'"),
        ({"split": "val"}, "images[1]: no text 'filename'"),
        ([], "images[1]: not an object"),
        (image("9.jpg", "val", "a"), "images[1]: '9.jpg' not found (1 of 2)"),
    ],
)
def test_what_is_wrong_is_named(write: Any, entry: Any, message: str) -> None:
    root = write("1.jpg", "2.jpg")
    path = save(root / "x.json", image("1.jpg", "train", "a"), entry)
    assert f"x.json {message}" in error_of(path)


def test_of_two_files_one_must_be_given(write: Any) -> None:
    root = write("1.jpg")
    for name in ("dataset_coco.json", "dataset_flickr8k.json"):
        save(root / name, image("1.jpg", "train", "a"))
    assert "several files of captions (dataset_coco.json, dataset_fl" in error_of(root)
