"""Raw grids, fractions and thumbnails of one card."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from lookcloser.core import Answer, Label, Prediction, Region
from lookcloser.report.cards import (
    LARGEST_GRID,
    THUMBNAIL,
    card_data,
    card_text,
    encode_grid,
    thumbnail,
)


def decode(grid):
    values = np.frombuffer(base64.b64decode(grid["data"]), np.uint8)
    return values.reshape(grid["h"], grid["w"]) / 255


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (14, 9), (32, 32)])
def test_grids_come_back_within_half_a_step(shape):
    heatmap = np.random.default_rng(0).random(shape, dtype=np.float32)
    np.testing.assert_allclose(decode(encode_grid(heatmap)), heatmap, atol=0.5 / 255 + 1e-6)


def test_every_byte_value_comes_back_exactly():
    heatmap = (np.arange(256, dtype=np.float32) / 255).reshape(16, 16)
    np.testing.assert_array_equal(decode(encode_grid(heatmap)) * 255, heatmap * 255)


def test_fine_maps_are_averaged_down():
    heatmap = np.random.default_rng(0).random((224, 96), dtype=np.float32)
    expected = heatmap.reshape(LARGEST_GRID, 7, LARGEST_GRID, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(decode(encode_grid(heatmap)), expected, atol=0.5 / 255 + 1e-4)


def test_values_outside_the_range_and_nan_are_mended():
    heatmap = np.array([[np.nan, -1.0, 2.0]], np.float32)
    assert decode(encode_grid(heatmap)).tolist() == [[0.0, 0.0, 1.0]]


def test_boxes_are_fractions_of_the_image(make_answer):
    answer = make_answer(None, "a", "b", boxes=((40.0, 30.0, 400.0, 300.0),))
    data = card_data(answer)
    assert data["boxes"] == [[0.1, 0.1, 1.0, 1.0]]
    assert data["regions"][0]["box"] == [0.25, 0.2, 0.75, 0.8]
    assert data["ratio"] == 1.3333
    assert data["true"] == 1, "the second region speaks for the truth"


def test_without_a_region_for_the_truth(make_answer):
    answer = make_answer(None, "a", "b")
    only = dataclasses.replace(answer.prediction, regions=answer.prediction.regions[:1])
    answer = dataclasses.replace(answer, prediction=only)
    assert card_data(answer)["true"] is None
    told = card_text(answer, 0)
    assert [(p["name"], p["true"]) for p in told["plain"]] == [("b", True)]
    assert told["plain"][0]["score"] == pytest.approx(0.1)


def test_an_empty_map_is_marked():
    regions = (
        Region("map", "a", 0.5, None, np.zeros((2, 2), np.float32)),
        Region("map", "b", 0.5, None, np.eye(2, dtype=np.float32)),
        Region("scale", "a", 0.5, (0, 0, 1, 1)),
    )
    answer = Answer(Prediction("classification", (), regions, (4, 4)), ("a",))
    assert [region["nothing"] for region in card_data(answer)["regions"]] == [
        "no evidence",
        None,
        None,
    ]
    assert card_data(answer)["regions"][2]["grid"] is None


def test_the_five_best_labels_are_listed(make_answer):
    labels = tuple(Label(f"c{i}", 0.5 / (i + 1), i) for i in range(9))
    answer = make_answer(None, "c0", "c8")
    prediction = dataclasses.replace(answer.prediction, labels=labels, regions=())
    told = card_text(dataclasses.replace(answer, prediction=prediction), 3)
    assert told["labels"] == labels[:5]
    assert told["name"] == "image 4"
    assert told["alt"] == "c0; truth: c8"
    assert [p["name"] for p in told["plain"]] == ["c0", "c8"]


class TestThumbnail:
    def opened(self, prediction):
        head, data = thumbnail(prediction).split(",")
        assert head == "data:image/jpeg;base64"
        return Image.open(io.BytesIO(base64.b64decode(data)))

    def test_of_a_file(self, photos, make_answer):
        image = self.opened(make_answer(photos[0]).prediction)
        assert image.size == (THUMBNAIL, THUMBNAIL * 3 // 4)
        own, other = (
            np.asarray(Image.open(path).resize(image.size, Image.Resampling.LANCZOS), int)
            for path in photos[:2]
        )
        assert np.abs(np.asarray(image) - own).mean() < 10
        assert np.abs(np.asarray(image) - other).mean() > 40

    def test_of_an_array_that_is_small(self):
        image = np.full((20, 30, 3), (200, 10, 10), np.uint8)
        prediction = Prediction("classification", (), (), (30, 20), image=image)
        opened = self.opened(prediction)
        assert opened.size == (30, 20), "small pictures are not blown up"
        assert np.abs(np.asarray(opened, int) - image).max() < 6

    def test_of_nothing(self, tmp_path):
        prediction = Prediction("classification", (), (), (30, 20))
        assert thumbnail(prediction) == ""
        assert thumbnail(dataclasses.replace(prediction, path=tmp_path / "gone.jpg")) == ""


def test_what_an_answer_does_not_know_is_on_its_card(make_answer):
    answer = make_answer(None)
    assert card_text(answer, 0)["doubts"] == []
    doubted = dataclasses.replace(
        answer.prediction, refusal="unlike the training images", group=Label("birds", 0.8, -1)
    )
    card = card_text(dataclasses.replace(answer, prediction=doubted), 0)
    assert card["doubts"] == [
        "surer of the group birds (80%)",
        "perhaps none of these: unlike the training images",
    ]
    labels = tuple(Label(f"class {number}", 0.1, number) for number in range(7))
    doubted = dataclasses.replace(answer.prediction, candidates=labels, coverage=0.95)
    card = card_text(dataclasses.replace(answer, prediction=doubted), 0)
    named = ", ".join(f"class {number}" for number in range(5))
    assert card["doubts"] == [f"at 95% coverage: {named} and 2 more"]
