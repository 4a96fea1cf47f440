from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lookcloser.data import Catalog, check_data, read_data
from lookcloser.data.checking.similarity import fingerprint, nearly_equal


def picture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Smooth random shapes: neighbors are alike, as in a photograph."""
    values = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


def pairs(images: list[Image.Image], groups: list[str]) -> list[tuple[int, int]]:
    return nearly_equal([fingerprint(image) for image in images], groups)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((48, 40), Image.Resampling.LANCZOS),
        lambda image: image.filter(ImageFilter.GaussianBlur(1)),
        lambda image: image.convert("L"),
        lambda image: image.point(lambda value: min(255, value + 2)),
    ],
)
def test_another_size_or_quality_is_nearly_the_same(change: Any) -> None:
    image = picture(0)
    assert pairs([image, picture(1), change(image)], ["train", "train", "test"]) == [(0, 2)]


def test_other_images_are_not() -> None:
    images = [picture(seed) for seed in range(60)]
    assert pairs(images, ["train", "test"] * 30) == []


def test_within_a_group_nothing_is_compared() -> None:
    assert pairs([picture(0), picture(0)], ["train", "train"]) == []


def test_too_little_to_see_is_compared_with_nothing() -> None:
    flat = Image.new("RGB", (64, 64), "gray")
    assert fingerprint(flat) is None
    assert fingerprint(picture(0, (15, 40))) is None
    assert pairs([flat, flat], ["train", "test"]) == []


def copies(root: Path) -> Catalog:
    for split, label, seed in (
        ("train", "a", 0),
        ("train", "b", 1),
        ("test", "a", 2),
        ("test", "b", 3),
    ):
        folder = root / split / label
        folder.mkdir(parents=True)
        for i in range(3):
            picture(10 * seed + i).save(folder / f"{i}.png")
    picture(0).save(root / "test/a/again.jpg", quality=80)
    return read_data(root, val_share=0)


def test_data_check_tells_leaks_between_splits(tmp_path: Path) -> None:
    report = check_data(copies(tmp_path))
    (near,) = report.near_duplicates
    assert set(zip(near.names, near.splits, strict=True)) == {
        ("train/a/0.png", "train"),
        ("test/a/again.jpg", "test"),
    }
    assert any("1 image nearly the same as one of another split" in p.text for p in report.problems)


def test_equal_files_are_no_near_ones(tmp_path: Path) -> None:
    catalog = copies(tmp_path)
    (tmp_path / "test/a/again.jpg").unlink()
    (tmp_path / "test/a/copy.png").write_bytes((tmp_path / "train/a/0.png").read_bytes())
    report = check_data(read_data(catalog.root, val_share=0))
    assert report.near_duplicates == ()
    assert len(report.duplicates) == 1
