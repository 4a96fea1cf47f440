"""What the threshold of a box is a share of: chosen at training, stored, and for one command."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookcloser.core import Label, LookcloserError
from lookcloser.core.header import ModelHeader, header_text, parse_header, with_box_rule
from lookcloser.core.preprocessing import Preprocessing, input_pixels
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.models import CAM, save_model_file
from lookcloser.recognizer import Recognizer, load
from lookcloser.runtime.regions import map_regions

ARGUMENTS = {"backbone": "test_resnet", "stride": 8}
LABEL = [Label("a", 0.5, 0)]


@pytest.fixture(scope="module")
def header() -> ModelHeader:
    return ModelHeader(
        "cam", {"num_classes": 3, **ARGUMENTS}, "classification", ("blue", "green", "red"),
        Preprocessing((32, 32)), box_threshold=0.35,
    )  # fmt: skip


def two_levels(low: float) -> np.ndarray:
    """A map with a high middle, 0.5 around it, and ``low`` elsewhere."""
    values = np.full((1, 8, 8), low, np.float32)
    values[0, 1:7, 1:7] = 0.5
    values[0, 3:5, 3:5] = 1.0
    return values


def box(maps: np.ndarray, threshold: float, rule: str) -> tuple[float, ...]:
    (region,) = map_regions(maps, LABEL, ImageSize(64, 64), Grid(64, 64), threshold, rule)  # type: ignore[arg-type]  # a word
    assert region.box is not None
    return region.box


def test_a_share_of_the_range_cuts_lower_where_values_are_negative() -> None:
    """0.6 of the maximum is above the middle level; 0.6 of the range from -1 is 0.2, below it."""
    maps = two_levels(-1.0)
    wide, narrow = box(maps, 0.6, "range"), box(maps, 0.6, "max")
    assert wide[2] - wide[0] > 40
    assert narrow[2] - narrow[0] < 24


def test_a_share_of_the_maximum_cuts_lower_where_all_is_positive() -> None:
    """0.4 of the range from 0.3 is above the middle level; 0.4 of the maximum is below it."""
    maps = two_levels(0.3)
    wide, narrow = box(maps, 0.4, "max"), box(maps, 0.4, "range")
    assert wide[2] - wide[0] > 40
    assert narrow[2] - narrow[0] < 24


def test_they_are_the_same_where_the_lowest_value_is_zero() -> None:
    values = np.zeros((1, 64, 64), np.float32)  # at the grid's size: no interpolation below 0
    values[0, 5:50, 9:40] = np.linspace(0.1, 1, 31)
    from lookcloser.metrics.maps import relative

    np.testing.assert_allclose(relative(values, "max"), relative(values, "range"))


@pytest.mark.parametrize("rule", ["max", "range"])
def test_a_map_without_positive_evidence_has_no_box(rule: str) -> None:
    maps = two_levels(-1.0) - 1.5
    (region,) = map_regions(maps, LABEL, ImageSize(64, 64), Grid(64, 64), 0.2, rule)  # type: ignore[arg-type]  # a word
    assert region.box is None
    assert region.heatmap is not None
    assert not region.heatmap.any()


def test_the_header_keeps_the_rule_and_older_ones_have_the_range(header: ModelHeader) -> None:
    other = replace(header, box_rule="max")
    assert parse_header("x", header_text(other)) == other
    assert parse_header("x", header_text(header).replace(', "box_rule": "range"', "")) == header
    with pytest.raises(LookcloserError, match="header is damaged"):
        parse_header("x", header_text(header).replace('"range"', '"half"'))


def test_another_rule_comes_with_the_papers_share(header: ModelHeader) -> None:
    assert with_box_rule(header, None) is header
    assert with_box_rule(header, "range") is header
    other = with_box_rule(header, "max")
    assert (other.box_rule, other.box_threshold) == ("max", 0.2)
    with pytest.raises(LookcloserError, match="mean: unknown box rule. There are: max, range"):
        with_box_rule(header, "mean")


@pytest.fixture(scope="module")
def file(header: ModelHeader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = CAM(3, CAM.Options(backbone="test_resnet", stride=8))
    torch.nn.init.normal_(model.head.weight)
    path = tmp_path_factory.mktemp("rule") / "m.safetensors"
    return save_model_file(path, model.state_dict(), header)


def test_load_takes_it_for_what_is_loaded(file: Path) -> None:
    image = np.random.default_rng(3).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    plain, cut = load(file), load(file, box_rule="max")
    assert (cut.header.box_rule, cut.header.box_threshold) == ("max", 0.2)
    stored = copy.deepcopy(plain.header)
    assert load(file).header == stored, "the file is as it was"
    for prediction, rule, threshold in (
        (plain.predict(image)[0], "range", 0.35),
        (cut.predict(image)[0], "max", 0.2),
    ):
        assert isinstance(plain, Recognizer)
        pixels = input_pixels(Image.fromarray(image), plain.header.preprocessing)
        output = plain.engine.answer(pixels[None], 1)
        assert output.maps is not None
        (expected,) = map_regions(
            output.maps[0, :1],
            LABEL,
            ImageSize(40, 48),
            Grid(32, 32),
            threshold,
            rule,  # type: ignore[arg-type]  # a word
        )
        assert prediction.regions[0].box == expected.box


def test_an_evaluation_chooses_its_threshold_by_the_rule(file: Path, squares: Path) -> None:
    found = {
        rule: load(file, box_rule=rule).evaluation(squares, "test", threshold_from="split")
        for rule in ("range", "max")
    }
    assert (
        found["range"]
        .settings["thresholds"]
        .endswith("shares of a map's range, from its minimum to its maximum")
    )
    assert found["max"].settings["thresholds"].endswith("shares of a map's maximum")
    assert found["range"].settings["thresholds"] != found["max"].settings["thresholds"]
