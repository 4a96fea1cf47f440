"""Maps beside true boxes on one grid, and their overlaps at each threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.core.types import Box
from lookcloser.evaluation.localization import map_boxes
from lookcloser.evaluation.localization.map_boxes import (
    Places,
    find_places,
    measure,
    measure_center,
)
from lookcloser.metrics.thresholds import THRESHOLDS

GRID = Grid(16, 24)
SIZES = [ImageSize(48, 32), ImageSize(24, 16), ImageSize(240, 160)]
MAPS = np.random.default_rng(0).random((3, 16, 24)).astype(np.float32)


def places(boxes: Sequence[Sequence[Box]], maps: np.ndarray = MAPS) -> Places:
    return find_places(maps, boxes, SIZES, GRID, [5, 6, 7], [10, 11, 12], "range")


def test_boxes_are_in_pixels_of_the_grid_and_maps_without_any_are_left_out() -> None:
    found = places([[(0, 0, 24, 16)], [], [(0, 0, 120, 160), (120, 0, 240, 160)]])
    assert found.images.tolist() == [10, 12]
    assert found.classes.tolist() == [5, 7]
    np.testing.assert_array_equal(found.maps, MAPS[[0, 2]])
    np.testing.assert_allclose(found.boxes[0], [[0, 0, 12, 8]])
    np.testing.assert_allclose(found.boxes[1], [[0, 0, 12, 16], [12, 0, 24, 16]])


def test_maps_are_enlarged_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_boxes, "_CHUNK", 2)
    found = places([[(0, 0, 24, 16)]] * 3, MAPS[:, ::4, ::4])
    chunks = list(found.chunks())
    assert [len(maps) for maps, _ in chunks] == [2, 1]
    assert all(maps.shape[1:] == tuple(GRID) for maps, _ in chunks)
    assert [len(boxes) for _, boxes in chunks] == [2, 1]


def rectangle(box: tuple[int, int, int, int]) -> np.ndarray:
    """A map that is 1 in a box of the grid and 0 outside."""
    found = np.zeros((1, 16, 24), np.float32)
    x0, y0, x1, y1 = box
    found[0, y0:y1, x0:x1] = 1
    return found


def test_a_map_of_the_box_itself_overlaps_it_wholly() -> None:
    found = measure(places([[(8, 4, 32, 24)]], rectangle((4, 2, 16, 12))))
    assert found.largest.shape == found.every.shape == (1, len(THRESHOLDS))
    middle = int(np.argmin(np.abs(np.asarray(THRESHOLDS) - 0.5)))
    assert found.largest[0, middle] == pytest.approx(1.0)
    assert found.pointed.tolist() == [True]


def test_the_largest_component_may_miss_what_another_finds() -> None:
    maps = rectangle((0, 0, 10, 10)) + rectangle((14, 12, 18, 16))
    found = measure(places([[(28, 24, 36, 32)]], maps))
    middle = int(np.argmin(np.abs(np.asarray(THRESHOLDS) - 0.5)))
    assert found.largest[0, middle] == 0
    assert found.every[0, middle] == pytest.approx(1.0)


def test_the_center_is_a_box_of_every_share_whatever_the_maps() -> None:
    middle = [[(12.0, 8.0, 36.0, 24.0)]]  # half of each side
    found = measure_center(places(middle, MAPS[:1]))
    np.testing.assert_array_equal(
        found.largest, measure_center(places(middle, 1 - MAPS[:1])).largest
    )
    assert found.largest.max() > 0.9
    assert found.largest[0, -1] < 0.1
    np.testing.assert_array_equal(found.largest, found.every)
    assert found.pointed.tolist() == [True]
    assert measure_center(places([[(0.0, 0.0, 6.0, 4.0)]], MAPS[:1])).pointed.tolist() == [False]
