"""Sizes of images and of arrays: two orders, each the other's mirror, both plain pairs in JSON."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from lookcloser.core.header import ModelHeader, header_text, parse_header
from lookcloser.core.images import image_size
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Prediction

HEADER = (
    '{"method": "cam", "arguments": {"num_classes": 2}, "task": "classification", '
    '"names": ["a", "b"], "format": 1, "preprocessing": {"size": [48, 64], '
    '"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"}}'
)


def test_one_order_is_the_others_mirror() -> None:
    size = ImageSize(640, 480)
    assert (size.grid.rows, size.grid.columns) == (480, 640)
    assert size.grid.image_size == size
    assert Grid(7, 5).image_size == ImageSize(width=5, height=7)


def test_a_grid_is_the_shape_of_the_array_of_an_image() -> None:
    image = Image.new("RGB", (5, 7))
    assert ImageSize(*image.size).grid == Grid(*np.asarray(image).shape[:2])


def test_messages_have_them_as_people_write_sizes() -> None:
    assert f"{ImageSize(640, 480)} px, {Grid(7, 5)}" == "640×480 px, 7×5"


def test_they_are_pairs_to_who_reads_them() -> None:
    assert ImageSize(3, 2) == (3, 2)
    assert json.dumps([ImageSize(3, 2), Grid(2, 3)]) == "[[3, 2], [2, 3]]"
    assert isinstance(pickle.loads(pickle.dumps(Grid(2, 3))), Grid)


def test_a_header_is_written_as_before_and_an_old_one_is_read() -> None:
    header = parse_header("model.safetensors", HEADER)
    assert header.preprocessing.size.rows == 48
    assert header.preprocessing.size.columns == 64
    written = json.loads(header_text(header))
    assert written["preprocessing"]["size"] == [48, 64]
    assert parse_header("model.safetensors", header_text(header)) == header


@pytest.mark.parametrize("size", [(48, 64), [48, 64], Grid(48, 64)])
def test_preprocessing_takes_any_pair(size: Grid) -> None:
    preprocessing = Preprocessing(size=size)
    assert preprocessing == Preprocessing(size=Grid(48, 64))
    assert isinstance(replace(preprocessing, interpolation="nearest").size, Grid)
    assert asdict(preprocessing)["size"] == (48, 64)
    assert input_pixels(Image.new("RGB", (9, 9)), preprocessing).shape == (3, 48, 64)


def test_the_header_has_a_size_by_default() -> None:
    header = ModelHeader("cam", {}, "classification", ())
    assert header.preprocessing.size == Grid(224, 224)


def test_an_image_that_is_turned_has_its_upright_size(tmp_path: object) -> None:
    image = Image.new("RGB", (8, 6))
    turned = image.getexif()
    turned[0x0112] = 6  # a quarter turn
    file = f"{tmp_path}/turned.jpg"
    image.save(file, exif=turned)
    assert image_size(file).width == 6
    assert image_size(file).grid == Grid(8, 6)


def test_predictions_write_width_first() -> None:
    answer = Prediction("classification", (), (), ImageSize(640, 480))
    assert answer.to_dict()["size"] == [640, 480]
