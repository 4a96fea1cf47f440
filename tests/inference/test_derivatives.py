"""Which way derivatives would move a box: on made-up derivatives, whose direction is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookcloser.core.types import Region
from lookcloser.inference.derivatives import LARGEST_GRID, box_moves, moved_regions

MIDDLE = torch.tensor([[-0.5, -0.5, 0.5, 0.5]])


def slopes(row: slice, column: slice, side: int = 64) -> torch.Tensor:
    """Derivatives of 1 in a part of the image and 0 elsewhere."""
    found = torch.zeros(side, side)
    found[row, column] = 1
    return found


@pytest.mark.parametrize(
    ("row", "column", "axis", "sign"),
    [
        (slice(16, 48), slice(48, 52), 0, 1),
        (slice(16, 48), slice(12, 16), 0, -1),
        (slice(48, 52), slice(16, 48), 1, 1),
        (slice(12, 16), slice(16, 48), 1, -1),
    ],
)
def test_a_box_moves_to_where_the_derivatives_are(
    row: slice, column: slice, axis: int, sign: int
) -> None:
    (move,) = box_moves(slopes(row, column), MIDDLE)
    assert np.sign(move[axis]) == sign
    assert abs(move[axis]) > abs(move[1 - axis])
    assert np.linalg.norm(move) == pytest.approx(1, rel=1e-5)


def test_derivatives_around_a_box_make_it_larger_and_inside_smaller() -> None:
    around = slopes(slice(12, 52), slice(12, 52))
    around[16:48, 16:48] = 0
    ((_, _, grown),) = box_moves(around, MIDDLE)
    ((_, _, shrunk),) = box_moves(slopes(slice(31, 33), slice(31, 33)), MIDDLE)
    assert grown > 0 > shrunk


def test_the_strength_of_the_derivatives_does_not_matter() -> None:
    strong = slopes(slice(16, 48), slice(48, 52))
    for factor in (1e-30, 1e30):
        assert box_moves(strong * factor, MIDDLE)[0] == pytest.approx(
            box_moves(strong, MIDDLE)[0], rel=1e-4, abs=1e-4
        )


def test_where_there_are_none_nothing_moves() -> None:
    assert box_moves(torch.zeros(64, 64), MIDDLE) == [(0, 0, 0)]


def test_each_scale_has_its_own_move_on_one_map() -> None:
    found = slopes(slice(16, 48), slice(48, 52), side=96)
    boxes = torch.cat([MIDDLE, MIDDLE / 2])
    scales = [Region("scale", "cat", 0.5, (0, 0, 1, 1), step=step) for step in (1, 2)]
    regions = moved_regions(found, boxes, scales)
    assert list(regions) == [
        "derivative of the score (scale 2)",
        "derivative of the score (scale 3)",
    ]
    first, second = regions.values()
    assert first.heatmap is not None
    assert first.heatmap.shape == (LARGEST_GRID, LARGEST_GRID)
    assert first.heatmap.max() == pytest.approx(1)
    np.testing.assert_array_equal(first.heatmap, second.heatmap)
    moves = box_moves(found, boxes)
    assert (first.move, second.move) == (moves[0], moves[1])
    assert first.box == scales[0].box
