"""Images that files are checked on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import Catalog, Sample
from lookcloser.export import data_images, drawn_pixels, folder_pixels

SETTINGS = Preprocessing((12, 8))


@pytest.fixture
def folder(tmp_path):
    for number in range(5):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    return tmp_path


def test_drawn_images_fill_the_range_and_are_the_same_every_time():
    found = drawn_pixels(SETTINGS, 3)
    assert found.shape == (3, 3, 12, 8)
    assert found.dtype == np.uint8
    assert np.array_equal(found, drawn_pixels(SETTINGS, 3))
    assert found.min() < 60
    assert found.max() > 195
    assert not np.array_equal(found[0], found[1])


def test_of_a_folder_some_spread_over_it_and_the_broken_left_out(folder):
    assert folder_pixels(folder, SETTINGS, 9)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert folder_pixels(folder, SETTINGS, 2)[:, 0, 0, 0].tolist() == [0]


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(LookcloserError, match="no image that can be read"):
        folder_pixels(tmp_path, SETTINGS, 9)


def test_of_data_what_is_known(folder):
    samples = tuple(
        Sample(f"{n}.png", folder / f"{n}.png", ("b",), boxes=((None, (0, 0, 5, 5)),), split="test")
        for n in range(3)
    )
    catalog = Catalog(folder, "made here", "classification", ("b",), samples)
    header = ModelHeader("cam", {}, "classification", ("a", "b"), SETTINGS)
    found = data_images(catalog, "test", header, 10)
    assert found.labels.tolist() == [1, 1, 1]
    assert list(found.boxes[0]) == [(0, 0, 5, 5)]
    assert found.sizes == [(20, 10)] * 3
    assert found.source == f"3 images of test of {folder.name}"


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (8, 8)])
def test_drawn_images_have_any_size_and_more_of_them_begin_alike(size):
    settings = Preprocessing(size)
    found = drawn_pixels(settings, 4)
    assert found.shape == (4, 3, *size)
    assert np.array_equal(found[:2], drawn_pixels(settings, 2))


def test_drawn_images_are_soft():
    found = drawn_pixels(Preprocessing((64, 64)), 2).astype(int)
    steps = max(np.abs(np.diff(found, axis=axis)).max() for axis in (2, 3))
    assert steps < 255 / 7, "a ramp of eight pixels from cell to cell, no edge"
    assert found.std() > 30


def test_images_of_a_folder_are_spread_over_it_and_counted_before_they_are_read(tmp_path):
    for number in range(9):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    assert folder_pixels(tmp_path, SETTINGS, 3)[:, 0, 0, 0].tolist() == [0, 4, 8]
    (tmp_path / "4.png").write_bytes(b"broken")
    assert folder_pixels(tmp_path, SETTINGS, 3)[:, 0, 0, 0].tolist() == [0, 8]
    assert len(folder_pixels(tmp_path, SETTINGS, 100)) == 8


@pytest.mark.parametrize("place", ["missing", "https://example.org/birds"])
def test_a_folder_that_is_not_there_is_refused(tmp_path, place):
    with pytest.raises(LookcloserError, match="no such file|URLs are not read"):
        folder_pixels(tmp_path / place if place == "missing" else place, SETTINGS, 3)


def catalog_of(folder, task="classification", **changes):
    """The first three images of the folder, with one label each."""
    known = {"labels": ("b",), "split": "test", **changes}
    samples = tuple(Sample(f"{n}.png", folder / f"{n}.png", **known) for n in range(3))
    return Catalog(folder, "made here", task, ("a", "b"), samples)


HEADER = ModelHeader("cam", {}, "classification", ("a", "b"), SETTINGS)


def test_a_class_that_the_model_does_not_know_leaves_all_labels_unknown(folder):
    found = data_images(catalog_of(folder, labels=("c",)), "test", HEADER, 10)
    assert found.labels is None
    assert found.boxes is None
    assert len(found.pixels) == 3


def test_several_labels_of_an_image_are_no_true_class(folder):
    header = ModelHeader("sigmoid", {}, "multilabel", ("a", "b"), SETTINGS)
    found = data_images(catalog_of(folder, "multilabel", labels=("a", "b")), "test", header, 10)
    assert (found.labels, found.boxes) == (None, None)


def test_boxes_are_those_of_the_true_class_alone(folder):
    boxes = (("b", (0, 0, 5, 5)), ("a", (1, 1, 2, 2)), ("b", (3, 3, 9, 9)))
    found = data_images(catalog_of(folder, boxes=boxes), "test", HEADER, 2)
    assert [list(each) for each in found.boxes] == [[(0, 0, 5, 5), (3, 3, 9, 9)]] * 2
    assert found.labels.tolist() == [1, 1]
    assert found.source.startswith("2 images of test")


def test_labels_and_sizes_stay_with_their_images_where_some_are_broken(folder):
    Image.new("RGB", (30, 7), (9, 0, 0)).save(folder / "2.png")
    (folder / "1.png").write_bytes(b"broken")
    found = data_images(catalog_of(folder), "test", HEADER, 10)
    assert found.sizes == [(20, 10), (30, 7)]
    assert found.pixels[:, 0, 0, 0].tolist() == [0, 9]
    assert found.labels.tolist() == [1, 1]


def test_a_split_without_readable_images_is_named(folder):
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"broken")
    with pytest.raises(LookcloserError, match="test: no image that can be read"):
        data_images(catalog_of(folder), "test", HEADER, 10)
