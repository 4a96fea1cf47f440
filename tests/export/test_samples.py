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
