import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, read_data

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 90, "name": "eel"}]
Content = dict[str, Any]


def images(*names: str) -> list[Content]:
    """Ids 10, 20, … for file names."""
    return [{"id": 10 * i, "file_name": name} for i, name in enumerate(names, 1)]


def thing(image: int, category: int, *box: float, **more: Any) -> Content:
    given = {"bbox": list(box)} if box else {}
    return {"id": 0, "image_id": image, "category_id": category, **given, **more}


def objects(names: list[str], *annotations: Content) -> Content:
    return {"images": images(*names), "annotations": annotations, "categories": CATEGORIES}


def captions(names: list[str], *pairs: tuple[int, str]) -> Content:
    said = [{"id": i, "image_id": image, "caption": text} for i, (image, text) in enumerate(pairs)]
    return {"images": images(*names), "annotations": said}


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def pair(write: Any) -> Path:
    """instances.json and captions.json beside images/1.jpg … images/3.jpg."""
    root: Path = write(*(f"images/{i}.jpg" for i in "123"))
    names = ["1.jpg", "2.jpg", "3.jpg"]
    save(
        root / "instances.json",
        objects(names, thing(10, 7, 1, 2, 3.5, 4), thing(30, 1), thing(10, 1), thing(10, 7)),
    )
    save(root / "captions.json", captions(names, (20, " a dog "), (10, "two, cats"), (20, "b")))
    return root


def read(path: Path, **options: Any) -> Catalog:
    return read_data(path, val_share=0, test_share=0, **options)


def error_of(path: Path, **options: Any) -> str:
    with pytest.raises(LookcloserError) as caught:
        read_data(path, **options)
    return str(caught.value)


def test_objects_are_tags_and_boxes(pair: Path) -> None:
    catalog = read(pair / "instances.json")
    assert (catalog.layout, catalog.task, catalog.root) == ("COCO", "multilabel", pair)
    assert [(s.name, s.labels, s.boxes) for s in catalog.samples] == [
        ("images/1.jpg", ("dog", "cat"), (("dog", (1.0, 2.0, 4.5, 6.0)),)),
        ("images/2.jpg", (), ()),
        ("images/3.jpg", ("cat",), ()),
    ]
    assert catalog.samples[0].source == pair / "images/1.jpg"
    assert all(sample.captions == () for sample in catalog.samples)


def test_ids_with_gaps_keep_the_order_of_the_categories(pair: Path) -> None:
    catalog = read(pair / "instances.json")
    assert catalog.names == ("cat", "dog")
    assert catalog.notes == ("Categories without an image are left out: 'eel'",)


def test_captions(pair: Path) -> None:
    catalog = read(pair / "captions.json")
    assert (catalog.task, catalog.names) == ("captioning", ())
    assert [(s.name, s.captions) for s in catalog.samples] == [
        ("images/1.jpg", ("two, cats",)),
        ("images/2.jpg", ("a dog", "b")),
    ]
    assert catalog.notes == ("1 image without captions left out",)


def test_a_folder_with_both_is_read_as_objects_and_says_so(pair: Path) -> None:
    catalog = read(pair)
    assert catalog.task == "multilabel"
    assert catalog.notes[-1] == "Not read: 'captions.json'; give one of them to read it instead"
    (pair / "instances.json").unlink()
    assert read(pair).task == "captioning"


def test_a_relative_path_is_enough(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pair)
    assert read(Path("captions.json")).samples[0].source == Path("images/1.jpg")
    assert read(Path()).samples[0].source == Path("images/1.jpg")


@pytest.fixture
def official(write: Any) -> Path:
    """As published: two years' splits of objects, captions and key points."""
    root: Path = write("train2017/1.jpg", "train2017/2.jpg", "val2017/3.jpg", "val2017/1.jpg")
    for split, names in {"train": ["1.jpg", "2.jpg"], "val": ["1.jpg", "3.jpg"]}.items():
        found = [thing(10, 1, 0, 0, 1, 1), thing(20, 7, 0, 0, 1, 1)]
        folder = root / "annotations"
        save(folder / f"instances_{split}2017.json", objects(names, *found))
        save(folder / f"person_keypoints_{split}2017.json", objects(names, *found[:1]))
        save(folder / f"captions_{split}2017.json", captions(names, (10, split), (20, "b")))
    save(root / "annotations/image_info_test2017.json", {"images": images("9.jpg")})
    return root


NAMES = ["train2017/1.jpg", "train2017/2.jpg", "val2017/1.jpg", "val2017/3.jpg"]


@pytest.mark.parametrize("given", [".", "annotations", "annotations/instances_train2017.json"])
def test_the_published_folders(official: Path, given: str) -> None:
    catalog = read(official / given)
    assert (catalog.task, catalog.root) == ("multilabel", official)
    # val2017/1.jpg is another image than train2017/1.jpg.
    assert [s.name for s in catalog.samples] == NAMES
    assert [s.split for s in catalog.samples] == ["train", "train", "val", "val"]
    assert catalog.names == ("cat", "dog")


def test_a_file_of_one_split_brings_the_others_of_its_kind(official: Path) -> None:
    for split in ("train", "val"):
        catalog = read(official / f"annotations/captions_{split}2017.json")
        assert [(s.name, s.captions) for s in catalog.samples] == [
            (name, (said,)) for name, said in zip(NAMES, ("train", "b", "val", "b"), strict=True)
        ]
        assert {s.split for s in catalog.samples} == {"train", "val"}


def test_names_keep_the_order_of_the_categories_over_the_splits(official: Path) -> None:
    folder = official / "annotations"
    save(folder / "instances_train2017.json", objects(["1.jpg", "2.jpg"], thing(10, 90)))
    save(folder / "instances_val2017.json", objects(["1.jpg", "3.jpg"], thing(10, 1)))
    for given in (official, *folder.glob("instances_*.json")):
        assert read(given).names == ("cat", "eel")


def test_one_file_in_each_folder_of_a_split(write: Any) -> None:
    root = write("train/1.jpg", "valid/1.jpg")
    for split in ("train", "valid"):
        save(root / split / "_annotations.coco.json", objects(["1.jpg"], thing(10, 1)))
    assert [(s.name, s.split) for s in read(root).samples] == [
        ("train/1.jpg", "train"),
        ("valid/1.jpg", "val"),
    ]


def test_names_with_folders_and_images_beside_the_file(write: Any) -> None:
    root = write("images/a/1.jpg", "b/2.jpg", "3.jpg")
    save(root / "x.json", objects(["images/a/1.jpg", "b\\2.jpg", "./3.jpg"], thing(10, 1)))
    assert [s.name for s in read(root).samples] == ["images/a/1.jpg", "b/2.jpg", "3.jpg"]


def test_crowds_and_flat_boxes_give_tags_only(pair: Path) -> None:
    given = (
        thing(10, 1, 0, 0, 5, 5, iscrowd=1),
        thing(10, 7, 2, 3, 1, 0),
        thing(20, 90, 1, 1, -2, 4),
        thing(20, 90, 0, 0, 2, 2, iscrowd=0),
    )
    save(pair / "instances.json", objects(["1.jpg", "2.jpg"], *given))
    catalog = read(pair / "instances.json")
    assert [(s.labels, s.boxes) for s in catalog.samples] == [
        (("cat", "dog"), ()),
        (("eel",), (("eel", (0.0, 0.0, 2.0, 2.0)),)),
    ]
    assert catalog.notes == (
        "1 crowd region taken as tags, without boxes",
        "2 annotations with a box without area: the tag is kept",
    )


def test_an_annotation_of_an_image_that_is_not_listed(pair: Path) -> None:
    path = save(pair / "instances.json", objects(["1.jpg"], thing(10, 1), thing(5, 1), thing(6, 1)))
    assert error_of(path) == (
        "instances.json annotations[1]: image 5 is not among 'images' (2 of 3). "
        "--skip-missing drops them."
    )
    catalog = read(path, skip_missing=True)
    assert [s.name for s in catalog.samples] == ["images/1.jpg"]
    assert catalog.skipped == (
        ("image 5", "instances.json annotations[1]: not among 'images'"),
        ("image 6", "instances.json annotations[2]: not among 'images'"),
    )


def test_an_image_that_is_not_there(pair: Path) -> None:
    (pair / "images/2.jpg").unlink()
    path = pair / "instances.json"
    assert error_of(path).startswith("instances.json images[1]: 'images/2.jpg' not found (1 of 3)")
    assert len(read(path, skip_missing=True).samples) == 2


@pytest.mark.parametrize(
    "listed", ["../secret.jpg", "a/../../secret.jpg", "..\\secret.jpg", "/etc/passwd"]
)
def test_nothing_outside_of_the_data_is_read(pair: Path, listed: str) -> None:
    (pair.parent / "secret.jpg").touch()
    path = save(pair / "instances.json", objects([listed], thing(10, 1)))
    assert f"instances.json images[0]: '{listed}' is outside of {pair}." in error_of(path)


def change(key: str, value: object) -> Callable[[Content], object]:
    """Set ``key`` of the first annotation."""
    return lambda content: content["annotations"][0].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("image_id", None), "annotations[0]: no number or text 'image_id'"),
        (change("image_id", [1]), "annotations[0]: no number or text 'image_id'"),
        (change("category_id", 3), "annotations[0]: category 3 is not among 'categories'"),
        (
            change("bbox", [1, 2, 3]),
            "[1, 2, 3] is not a box. Allowed: [x, y, width",
        ),
        (change("bbox", "wide"), "annotations[0]: wide is not a box"),
        (change("bbox", "1234"), "annotations[0]: 1234 is not a box"),
        (change("bbox", [1, 2, 3, 10**400]), "annotations[0]: [1, 2, 3, 1000"),
        (change("bbox", [1, 2, 3, "x"]), "annotations[0]: [1, 2, 3, 'x'] is not a box"),
        (change("bbox", [1, 2, 3, float("nan")]), "annotations[0]: [1, 2, 3, nan] is not a box"),
        (change("bbox", [1, 2, 3, float("inf")]), "annotations[0]: [1, 2, 3, inf] is not a box"),
        (lambda c: c.update(images={}), "instances.json: no list 'images'"),
        (lambda c: c.update(annotations=[[]]), "instances.json annotations[0]: not an object"),
        (lambda c: c.update(categories=0), "instances.json: no list 'categories'"),
        (lambda c: c["categories"][1].pop("name"), "categories[1]: no text 'name'"),
        (lambda c: c["images"][2].pop("file_name"), "images[2]: no text 'file_name'"),
        (lambda c: c["images"][2].update(file_name=" "), "images[2]: 'file_name' is empty"),
        (lambda c: c["images"][2].update(id=10), "id 10 is at instances.json images[0] already"),
        (
            lambda c: c["images"][2].update(file_name="x/../1.jpg"),
            "images[2]: 'images/1.jpg' is at instances.json images[0] already. Keep one of them.",
        ),
    ],
)
def test_what_is_wrong_is_named(
    pair: Path, spoil: Callable[[Content], object], message: str
) -> None:
    path = pair / "instances.json"
    content = json.loads(path.read_text())
    spoil(content)
    save(path, content)
    assert message in error_of(path)


def test_an_empty_caption_is_named(pair: Path) -> None:
    path = save(pair / "captions.json", captions(["1.jpg"], (10, "a"), (10, " \n")))
    assert error_of(path) == "captions.json annotations[1]: 'caption' is empty."


def test_a_file_that_ends_early(pair: Path) -> None:
    path = pair / "instances.json"
    path.write_text(path.read_text()[:-9])
    assert error_of(path).startswith(f"{path}: not JSON at line 1 column ")


@pytest.mark.parametrize(
    "content",
    [
        {"images": [], "labels": []},
        [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}],
        {"annotations": [{"caption": "a"}]},
        {"imagePath": "1.jpg", "shapes": [{"label": "cat"}]},
        {},
    ],
)
def test_other_json_is_not_claimed(write: Any, content: object) -> None:
    root = write("a/1.jpg", "b/1.jpg")
    path = save(root / "notes.json", content)
    assert read_data(root).layout == "class folders"
    assert error_of(path).startswith(f"{path}: not a list of images with labels or captions.")


def test_hundreds_of_files_are_one_per_image(pair: Path) -> None:
    for i in range(100):
        (pair / f"{i}.json").write_text("{}")
    with pytest.raises(LookcloserError, match="without classes"):
        read_data(pair)


def test_several_files_without_splits_or_of_one_split(pair: Path, official: Path) -> None:
    # Both fixtures write into the same folder.
    assert "several COCO files (instances.json, instances_train2017.json, " in error_of(pair)
    (pair / "instances.json").unlink()
    (pair / "annotations/instances_val2017.json").rename(pair / "instances_train.json")
    assert error_of(official).endswith(
        "several COCO files (instances_train.json, instances_train2017.json). Give one of them."
    )


def test_a_hidden_file_is_passed_over(pair: Path) -> None:
    (pair / "instances.json").rename(pair / "._instances.json")
    assert read(pair).task == "captioning"


def test_real_objects_equal_pycocotools(
    shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = shared_data("coco200")
    catalog = read_data(root)
    theirs = COCO(root / "instances.json")
    capsys.readouterr()  # it prints
    assert catalog.names == tuple(c["name"] for c in theirs.loadCats(sorted(theirs.getCatIds())))
    names = {c["id"]: c["name"] for c in theirs.loadCats(theirs.getCatIds())}
    assert len(catalog.samples) == len(theirs.getImgIds()) == 208
    for image in theirs.loadImgs(theirs.getImgIds()):
        (sample,) = (s for s in catalog.samples if s.name == f"images/{image['file_name']}")
        found = theirs.loadAnns(theirs.getAnnIds(imgIds=image["id"]))
        assert set(sample.labels) == {names[a["category_id"]] for a in found}
        expected = [
            (names[a["category_id"]], (x, y, x + w, y + h))
            for a in found
            for x, y, w, h in [a["bbox"]]
        ]
        assert sorted(sample.boxes) == sorted(expected)
    assert sum(not sample.labels for sample in catalog.samples) == 2
    trained = {name for sample in catalog.split("train") for name in sample.labels}
    assert trained == set(catalog.names), "training would never see some tag"


def test_real_captions_equal_pycocotools(
    shared_data: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_data("coco200") / "captions.json"
    catalog, theirs = read_data(path), COCO(path)
    capsys.readouterr()
    assert catalog.task == "captioning"
    assert {sample.name.removeprefix("images/"): sample.captions for sample in catalog.samples} == {
        image["file_name"]: tuple(a["caption"].strip() for a in theirs.imgToAnns[image["id"]])
        for image in theirs.loadImgs(theirs.getImgIds())
    }
    assert catalog.splits == ("train", "val", "test")


def test_an_empty_box_is_none(pair: Path) -> None:
    content = objects(["1.jpg", "2.jpg"], thing(10, 7, 0, 0, 2, 2), thing(20, 90, 0, 0, 2, 2))
    content["annotations"][0]["bbox"] = []
    save(pair / "instances.json", content)
    assert [len(sample.boxes) for sample in read(pair / "instances.json").samples] == [0, 1]
