import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookcloser.data import Balance, Catalog, DataReport, Sample, check_data, read_data


@pytest.fixture
def data(write: Any) -> Path:
    names = [
        f"{split}/{c}/{i}.jpg" for split in ("train", "val", "test") for c in "ab" for i in "123"
    ]
    root: Path = write(*names)
    return root


def texts(report: DataReport) -> list[tuple[str, str]]:
    return [(problem.severity, problem.text) for problem in report.problems]


def test_sound_data_has_no_problems(data: Path) -> None:
    report = check_data(read_data(data))
    assert (report.root, report.layout, report.task) == (
        str(data),
        "class folders",
        "classification",
    )
    assert report.images == {"train": 6, "val": 6, "test": 6}
    assert report.counts == {split: {"a": 3, "b": 3} for split in report.images}
    assert report.problems == report.broken == report.duplicates == report.skipped == ()
    assert report.boxes == 0


def test_sizes_are_upright_and_of_decoded_images_only(data: Path, write: Any) -> None:
    write("train/a/wide.png", size=(40, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 4)).save(data / "train/a/turned.png", exif=exif)
    (data / "train/b/broken.jpg").write_bytes(b"x")
    report = check_data(read_data(data))
    assert report.widths == (4, 8.0, 40)
    assert report.heights == (6, 6.0, 30)
    assert check_data(read_data(data), decode=False).widths is None


def test_balance_and_effective_classes(write: Any) -> None:
    names = [f"train/{c}/{i}.jpg" for c, n in {"a": 20, "b": 4, "c": 1}.items() for i in range(n)]
    report = check_data(read_data(write(*names, "val/a/1.jpg", "val/b/1.jpg", "val/c/1.jpg")))
    assert report.balance["val"] == Balance(1.0, pytest.approx(3.0))
    assert report.balance["train"].ratio == 20
    # exp(entropy) by hand.
    entropy = -sum(p * math.log(p) for p in (20 / 25, 4 / 25, 1 / 25))
    assert report.balance["train"].effective_classes == pytest.approx(math.exp(entropy))
    uneven = "Classes are uneven: the largest has 20 times the images of the smallest."
    assert texts(report) == [("note", uneven)]


def test_a_class_that_a_split_lacks(data: Path) -> None:
    shutil.rmtree(data / "test/b")
    report = check_data(read_data(data))
    assert texts(report) == [("note", "test has no image of 'b'.")]
    assert report.balance["test"] == Balance(None, 1.0)
    assert report.counts["test"] == {"a": 3, "b": 0}


@pytest.mark.parametrize("decode", [True, False])
def test_broken_images_are_listed_with_the_reason(data: Path, decode: bool) -> None:
    cut = data / "train/a/2.jpg"
    cut.write_bytes(cut.read_bytes()[:-100])
    (data / "train/b/1.jpg").write_bytes(b"")
    (data / "val/b/2.jpg").unlink()
    (data / "val/b/2.jpg").symlink_to("nowhere.jpg")
    (data / "test/a/1.jpg").write_text("<html>")
    broken = dict(check_data(read_data(data), decode=decode).broken)
    assert set(broken) >= {"train/b/1.jpg", "val/b/2.jpg"}
    assert broken["train/b/1.jpg"].startswith("the file is empty")
    assert broken["val/b/2.jpg"].startswith("a broken link" if decode else "not found")
    assert len(broken) == (4 if decode else 2)
    if decode:
        assert broken["train/a/2.jpg"].startswith("cannot be decoded: ")
        assert broken["test/a/1.jpg"].startswith("not an image that can be read")
        (problem,) = check_data(read_data(data)).problems
        assert problem.severity == "warning"
        assert problem.text.startswith("4 images ('test/a/1.jpg', 'train/a/2.jpg',")


def test_a_copy_in_another_split_is_a_leak(data: Path) -> None:
    shutil.copy(data / "train/a/1.jpg", data / "test/a/9.jpg")
    shutil.copy(data / "train/a/1.jpg", data / "val/a/9.jpg")
    report = check_data(read_data(data))
    (group,) = report.duplicates
    found = set(zip(group.names, group.splits, strict=True))
    assert found == {("train/a/1.jpg", "train"), ("test/a/9.jpg", "test"), ("val/a/9.jpg", "val")}
    assert group.labels == (("a",),) * 3
    ((severity, text),) = texts(report)
    assert severity == "warning"
    assert text.startswith("1 image in more than one split, which flatters the scores: 'te")


def test_downloads_that_failed_alike_are_broken_and_no_leak(data: Path) -> None:
    for name in ("train/a/1.jpg", "test/a/1.jpg", "test/b/1.jpg"):
        (data / name).write_text("<html>404</html>")
    report = check_data(read_data(data))
    assert (len(report.broken), report.duplicates) == (3, ())


def test_a_copy_within_a_split_and_under_another_label(data: Path) -> None:
    shutil.copy(data / "train/a/1.jpg", data / "train/a/8.jpg")
    shutil.copy(data / "train/b/2.jpg", data / "train/a/9.jpg")
    report = check_data(read_data(data), decode=False)
    assert texts(report) == [
        (
            "warning",
            "1 image with more than one answer: the same file as 'train/a/9.jpg', 'train/b/2.jpg'.",
        ),
        ("note", "2 images more than once in one split: 'train/a/1.jpg', 'train/a/8.jpg'."),
    ]


def test_files_of_one_length_with_other_bytes_are_no_copies(write: Any) -> None:
    # Uncompressed, so all are of one length.
    names = [
        f"{split}/{c}/{i}.bmp" for split in ("train", "val", "test") for c in "ab" for i in "12"
    ]
    root = write(*names)
    assert len({path.stat().st_size for path in root.rglob("*.bmp")}) == 1
    assert check_data(read_data(root)).duplicates == ()


def test_duplicates_equal_a_comparison_of_every_pair(data: Path) -> None:
    generator = np.random.default_rng(0)
    files = sorted(data.rglob("*.jpg"))
    for source, target in generator.choice(len(files), (6, 2)):
        files[target].write_bytes(files[source].read_bytes())
    catalog = read_data(data)
    ours = {
        frozenset((a, b))
        for group in check_data(catalog).duplicates
        for a in group.names
        for b in group.names
        if a != b
    }
    contents = {s.name: Path(str(s.source)).read_bytes() for s in catalog.samples}
    pairs = {frozenset((a, b)) for a in contents for b in contents if a < b}
    assert ours == {p for p in pairs if len({contents[name] for name in p}) == 1}
    assert ours


def test_boxes_must_lie_within_the_image(write: Any) -> None:
    root = write(*(f"im/{i}.jpg" for i in range(6)), size=(20, 10))
    boxes = ("0,0,20,10", "0,0,21,11", "-1,-1,5,5", "0,0,22,5", "0,0,5,12", "-2,0,5,5")
    rows = "".join(f"im/{i}.jpg,{'ab'[i % 2]},{box}\n" for i, box in enumerate(boxes))
    (root / "t.csv").write_text("image,label,x0,y0,x1,y1\n" + rows)
    report = check_data(read_data(root, val_share=0, test_share=0))
    assert report.boxes == 6
    expected = "3 images ('im/3.jpg', 'im/4.jpg', 'im/5.jpg') with boxes that are empty or"
    ((severity, text),) = texts(report)
    assert severity == "warning"
    assert text.startswith(expected)


def test_what_stops_training_comes_first(write: Any) -> None:
    root = write("wren/1.jpg")
    (root / "wren/2.jpg").write_bytes(b"x")
    problems = check_data(read_data(root)).problems
    assert [problem.severity for problem in problems] == ["error", "warning"]
    assert "only one class ('wren')" in problems[0].text


def test_what_was_left_out_is_told(write: Any) -> None:
    root = write(*(f"im/{i}.jpg" for i in range(8)))
    rows = "".join(f"im/{i}.jpg,{'ab'[i % 2]}\n" for i in range(10))
    (root / "t.csv").write_text("image,label\n" + rows)
    report = check_data(read_data(root, skip_missing=True, val_share=0, test_share=0))
    assert texts(report) == [
        (
            "warning",
            "2 listed images ('im/8.jpg', 'im/9.jpg') missing (t.csv line 10: not found): "
            "training needs --skip-missing.",
        )
    ]
    assert report.skipped[0] == ("im/8.jpg", "t.csv line 10: not found")


def arrays(*pixels: np.ndarray) -> Catalog:
    samples = tuple(
        Sample(f"{i}", array, ("ab"[i % 2],), split="train") for i, array in enumerate(pixels)
    )
    return Catalog(Path("x"), "MNIST", "classification", ("a", "b"), samples)


def test_images_given_as_arrays() -> None:
    one, two = np.zeros((4, 6), np.uint8), np.ones((4, 6), np.uint8)
    # The same bytes in another shape are another image.
    report = check_data(arrays(one, two, one.copy(), one.reshape(6, 4)))
    assert [group.names for group in report.duplicates] == [("0", "2")]
    assert (report.widths, report.heights) == ((4, 6.0, 6), (4, 4.0, 6))
    assert report.broken == ()


def test_an_empty_catalog() -> None:
    report = check_data(arrays())
    assert texts(report) == [("error", "x: no images. Add images.")]
    assert (report.widths, report.images, report.balance) == (None, {}, {})


def test_progress_counts_every_image_in_order(data: Path) -> None:
    seen: list[tuple[int, int]] = []
    check_data(read_data(data), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 18) for i in range(1, 19)]


def test_the_report_goes_through_json(data: Path) -> None:
    shutil.copy(data / "train/a/1.jpg", data / "test/a/9.jpg")
    catalog = read_data(data)
    report = check_data(replace(catalog, skipped=(("a", "why"),)))
    plain = report.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["counts"]["train"] == {"a": 3, "b": 3}
    assert plain["balance"]["val"] == {"ratio": 1.0, "effective_classes": pytest.approx(2.0)}
    assert plain["widths"] == [8, 8.0, 8]
    assert plain["skipped"] == [["a", "why"]]
    assert plain["duplicates"][0]["splits"] == ["test", "train"]
    assert plain["problems"][0]["severity"] == "warning"


def test_the_report_does_not_depend_on_threads(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(data / "train/a/1.jpg", data / "test/a/9.jpg")
    catalog = read_data(data)
    reports = []
    for cores in (1, 8):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        reports.append(check_data(catalog).to_dict())
    assert reports[0] == reports[1]


def tagged(write: Any, *rows: str) -> Catalog:
    """A table of "split,tag;tag" of images 0.jpg, 1.jpg, …"""
    root = write(*(f"im/{i}.jpg" for i in range(len(rows))))
    lines = (f"im/{i}.jpg,{row}" for i, row in enumerate(rows))
    (root / "t.csv").write_text("\n".join(["image,split,labels", *lines]))
    return read_data(root)


def test_tags_are_counted_and_go_through_json(write: Any) -> None:
    report = check_data(tagged(write, "train,a;b", "train,a", "val,a;b", "test,a;b", "test,b"))
    assert report.captions is None
    plain = report.to_dict()
    assert plain["tags"]["images"] == {"a": 4, "b": 4}
    assert plain["tags"]["per_image"] == [1, 1.6, 2]
    assert plain["counts"]["train"] == {"a": 2, "b": 1}
    assert texts(report) == [
        ("warning", "Every training image has 'a': there is nothing to learn there.")
    ]


def test_what_tags_lack_is_told(write: Any) -> None:
    rows = ["train,a", "train,", "train,b", "val,a;b", "test,a;b", "test,c;b"]
    assert texts(check_data(tagged(write, *rows))) == [
        ("warning", "No image to train on of 1 tag ('c'): scores of these mean nothing."),
        ("note", "val has no image of 'c'."),
        ("note", "1 tag ('c') on one image only: learned from or tested on, never both."),
        ("note", "1 image without tags: taken as showing none of them."),
    ]


def test_uneven_tags(write: Any) -> None:
    report = check_data(tagged(write, *["train,a"] * 20, "train,b", "train,b", "val,a;b"))
    text = "Tags are uneven: the largest has 10 times the images of the smallest."
    assert ("note", text) in texts(report)


def test_captions_are_counted(write: Any) -> None:
    root = write("1.jpg", "2.jpg")
    (root / "t.csv").write_text("image,caption\n1.jpg,a dog\n1.jpg,two dogs\n2.jpg,the blue sea\n")
    catalog = read_data(root)
    report = check_data(catalog)
    assert report.tags is None
    assert report.captions is not None
    assert (report.captions.captions, report.captions.vocabulary) == (3, 7)
    assert report.to_dict()["captions"]["words"] == [2, pytest.approx(7 / 3), 3]
    assert texts(report) == []
    # A model's words are no classes that a split could lack.
    with_words = check_data(replace(catalog, names=("<NULL>", "dog")))
    assert with_words.problems == ()
    assert set(map(len, with_words.counts.values())) == {0}


def test_copies_with_other_tags_are_told(write: Any) -> None:
    catalog = tagged(write, "train,a", "train,b", "train,b")
    shutil.copy(catalog.root / "im/0.jpg", catalog.root / "im/1.jpg")
    found = [text for severity, text in texts(check_data(catalog)) if severity == "warning"]
    assert found[0].startswith("1 image with more than one answer: the same file as 'im/0.jpg'")
