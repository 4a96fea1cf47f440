"""From maps and boxes of a network to regions in pixels of the image."""

from __future__ import annotations

import numpy as np
import pytest

from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Label
from lookcloser.runtime.outputs import ArrayOutput
from lookcloser.runtime.regions import (
    heatmaps_of,
    map_regions,
    original_box,
    part_regions,
    scale_regions,
    upsample,
)

SIZE, GRID = ImageSize(120, 60), Grid(16, 24)
LABELS = [Label("cat", 0.75, 0), Label("dog", 0.25, 1)]
LOGITS = np.array([[2.0, 1.0]], np.float32)


def bump(row: int, column: int, shape: tuple[int, int] = (4, 6)) -> np.ndarray:
    """A map that is 1 at one place and 0 elsewhere."""
    found = np.zeros(shape, np.float32)
    found[row, column] = 1
    return found


def test_heatmaps_are_relative_to_their_own_maximum() -> None:
    maps = np.array([[[-3, 2], [4, 1]], [[-1, -2], [-3, 0]]], np.float32)
    found = heatmaps_of(maps)
    np.testing.assert_array_equal(found[0], [[0, 0.5], [1, 0.25]])
    assert not found[1].any(), "nothing above zero is no evidence"
    assert maps[0, 0, 0] == -3, "the argument stays"


def test_a_clipped_heatmap_is_full_at_its_quantile() -> None:
    values = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    found = heatmaps_of(values, clip=0.5)[0, 0]
    assert found[50] == 1
    assert found[100] == 1
    assert found[25] == pytest.approx(0.5)
    sparse = bump(0, 0)[None]  # the quantile is 0: the maximum counts
    np.testing.assert_array_equal(heatmaps_of(sparse, clip=0.5), sparse)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)])
def test_a_box_lies_around_its_place_in_pixels_of_the_image(row: int, column: int) -> None:
    maps = bump(row, column)[None]
    (region,) = map_regions(maps, LABELS[:1], SIZE, GRID, 0.5, "range")
    assert region.box is not None
    x0, y0, x1, y1 = region.box
    middle = ((column + 0.5) * 120 / 6, (row + 0.5) * 60 / 4)
    assert x0 < middle[0] < x1
    assert y0 < middle[1] < y1
    assert 0 <= x0 < x1 <= 120
    assert 0 <= y0 < y1 <= 60
    assert (region.label, region.score, region.step) == ("cat", 0.75, None)
    np.testing.assert_array_equal(region.heatmap, maps[0])


def test_regions_stand_in_the_order_of_their_labels() -> None:
    maps = np.stack([bump(0, 0), bump(3, 5)])
    first, second = map_regions(maps, LABELS, SIZE, GRID, 0.5, "range", kind="step")
    assert (first.label, first.step, second.label, second.step) == ("cat", 0, "dog", 1)
    assert first.box is not None
    assert second.box is not None
    assert first.box[0] < second.box[0]


@pytest.mark.parametrize("values", [np.zeros((4, 6)), np.full((4, 6), 3.0), -np.ones((4, 6))])
def test_an_even_map_has_no_box(values: np.ndarray) -> None:
    maps = values[None].astype(np.float32)
    (region,) = map_regions(maps, LABELS[:1], SIZE, GRID, 0.2, "range")
    assert region.box is None


def test_a_map_of_single_pixels_has_no_box() -> None:
    (region,) = map_regions(bump(2, 3, tuple(GRID))[None], LABELS[:1], SIZE, GRID, 0.2, "range")
    assert region.box is None
    assert region.heatmap is not None
    assert region.heatmap.shape == tuple(GRID)


def test_a_higher_threshold_cuts_a_smaller_box() -> None:
    y, x = np.mgrid[:4, :6]
    maps = np.exp(-((y - 1.5) ** 2 + (x - 2.5) ** 2) / 2)[None].astype(np.float32)
    areas = []
    for threshold in (0.2, 0.5, 0.8):
        (region,) = map_regions(maps, LABELS[:1], SIZE, GRID, threshold, "max")
        assert region.box is not None
        areas.append((region.box[2] - region.box[0]) * (region.box[3] - region.box[1]))
    assert areas[0] > areas[1] > areas[2]


def test_what_reaches_the_threshold_but_for_rounding_is_in_the_box() -> None:
    maps = np.tile(np.float32([0.25, 0.25, 1]), (1, 2, 1))
    maps[..., :2] -= np.float32(2e-7)
    (region,) = map_regions(maps, LABELS[:1], SIZE, Grid(4, 3), 0.25, "max")
    assert region.box == (0, 0, 120, 60)


def test_parts_are_regions_without_boxes() -> None:
    parts = np.stack([bump(0, 0), 2 * bump(3, 5)])[None]
    first, second = part_regions(ArrayOutput(LOGITS, part_maps=parts), 0, LABELS[1])
    assert (first.kind, first.label, first.step, second.step) == ("part", "dog", 0, 1)
    assert first.box is None
    np.testing.assert_array_equal(second.heatmap, bump(3, 5))
    assert part_regions(ArrayOutput(LOGITS), 0, LABELS[0]) == ()


BOXES = np.array([[[-0.5, -0.5, 0.5, 0.5], [-2.0, 0.0, 0.0, 2.0]]], np.float32)


def test_scales_are_in_pixels_and_end_at_the_image() -> None:
    first, second = scale_regions(ArrayOutput(LOGITS, boxes=BOXES), 0, LABELS[0], SIZE, "scale")
    assert first.box == (30.0, 15.0, 90.0, 45.0)
    assert second.box == (0.0, 30.0, 60.0, 60.0)
    assert (first.kind, first.step, second.step) == ("scale", 1, 2)
    assert first.score == second.score == 0.75
    assert scale_regions(ArrayOutput(LOGITS), 0, LABELS[0], SIZE, "scale") == ()


def test_places_are_counted_without_the_whole_image() -> None:
    scales, places = (
        scale_regions(ArrayOutput(LOGITS, boxes=BOXES), 0, LABELS[0], SIZE, kind)
        for kind in ("scale", "place")
    )
    assert [(place.kind, place.step) for place in places] == [("place", 0), ("place", 1)]
    assert [place.box for place in places] == [scale.box for scale in scales]
    assert repr(places[0]).startswith("Region(place 1, ")


def test_a_scale_has_the_score_of_its_own_logits() -> None:
    logits = np.log(np.array([[[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]], np.float32))
    output = ArrayOutput(LOGITS, boxes=BOXES, scale_logits=logits)
    scores = [region.score for region in scale_regions(output, 0, LABELS[1], SIZE, "scale")]
    assert scores == pytest.approx([0.1, 0.8], rel=1e-5)
    output = ArrayOutput(LOGITS, boxes=BOXES, box_scores=np.array([[0.3, 0.6]], np.float32))
    scores = [region.score for region in scale_regions(output, 0, LABELS[1], SIZE, "scale")]
    assert scores == pytest.approx([0.3, 0.6], rel=1e-5)


def test_boxes_of_the_grid_are_scaled_to_the_image() -> None:
    assert original_box(np.array([0.0, 0.0, 24.0, 16.0]), GRID, SIZE) == (0, 0, 120, 60)
    assert original_box(np.array([6.0, 4.0, 12.0, 8.0]), GRID, SIZE) == (30, 15, 60, 30)
    assert original_box(np.full(4, np.nan), GRID, SIZE) is None


def test_enlarging_takes_rows_for_rows() -> None:
    large = upsample(bump(0, 5)[None], GRID)
    assert large.shape == (1, 16, 24)
    row, column = np.unravel_index(large[0].argmax(), large[0].shape)
    assert row < 4
    assert column >= 20
