"""The three facts that the landscape rests on, checked pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lookcloser.metrics.level_sets.landscape import Landscape, _tables

EVERYWHERE, CROSS = np.ones((3, 3)), ndimage.generate_binary_structure(2, 1)


def random_maps(seed, count=3):
    rng = np.random.default_rng(seed)
    shape = (count, *rng.integers(1, 9, 2))
    return rng.integers(0, 6, shape).astype(float) if seed % 2 else rng.random(shape)


def places(landscape, pixels):
    """(image, row, column) of flat indices."""
    images = pixels // landscape.block
    return list(zip(images, landscape.rows(pixels), landscape.columns(pixels), strict=True))


def everywhere(landscape):
    """The flat index of every pixel, as maps."""
    return landscape.inside(np.arange(len(landscape.flat)))


def test_layout():
    maps = np.arange(24.0).reshape(2, 3, 4)
    landscape = Landscape(maps)
    np.testing.assert_array_equal(landscape.inside(landscape.flat), maps)
    assert np.isinf(landscape.flat).sum() == len(landscape.flat) - 24
    found = places(landscape, everywhere(landscape).ravel())
    assert found == [(i, y, x) for i in range(2) for y in range(3) for x in range(4)]
    # A step to any of the eight neighbors never leads into another map.
    around = everywhere(landscape)[..., None] + landscape._ring
    for image, near in enumerate(around):
        inside = landscape.flat[near] > -np.inf
        assert set((near[inside] // landscape.block).tolist()) == {image}


def test_a_pixel_parts_the_land_where_it_parts_the_water():
    tables = _tables()
    np.testing.assert_array_equal((tables.land >= 0).sum(1) > 1, (tables.lakes >= 0).sum(1) > 1)
    for code in range(256):
        ring = [code >> i & 1 for i in range(8)]
        square = np.array([[ring[5], ring[6], ring[7]], [ring[4], 0, ring[0]], ring[3:0:-1]])
        groups = ndimage.label(square, EVERYWHERE)[1]
        assert (tables.land[code] >= 0).sum() == groups
        water = 1 - square
        water[1, 1] = 0
        labels, _ = ndimage.label(water, CROSS)
        beside = set(labels[CROSS].tolist()) - {0}
        assert (tables.lakes[code] >= 0).sum() == len(beside)


@pytest.mark.parametrize("seed", range(8))
def test_every_step_of_a_climb_is_connected_and_never_descends(seed):
    """At every level the part of a basin above it is one component, of land and of lakes."""
    landscape = Landscape(random_maps(seed))
    maps = landscape.inside(landscape.flat)
    for relief, sign, structure in (
        (landscape.land(), 1, EVERYWHERE),
        (landscape.lakes(), -1, CROSS),
    ):
        basins = relief.at(everywhere(landscape))
        for number, seat in enumerate(relief.seats[1:], start=1):
            image = seat // landscape.block
            member = basins[image] == number
            assert not (basins[np.arange(len(maps)) != image] == number).any()
            values = sign * maps[image]
            assert values[member].max() == sign * landscape.flat[seat]
            for level in np.unique(values[member]):
                assert ndimage.label(member & (values >= level), structure)[1] == 1


@pytest.mark.parametrize("seed", range(8))
def test_basins_of_the_frame_reach_the_border_downhill(seed):
    landscape = Landscape(random_maps(seed))
    relief = landscape.lakes()
    drained = relief.at(everywhere(landscape)) == 0
    for values, dry in zip(landscape.inside(landscape.flat), drained, strict=True):
        for level in np.unique(values[dry]):
            padded = np.pad(dry & (values <= level), 1, constant_values=True)
            assert ndimage.label(padded, CROSS)[1] == 1


@pytest.mark.parametrize("seed", range(8))
def test_every_edge_of_a_component_has_an_outpost(seed):
    landscape = Landscape(random_maps(seed))
    sides = landscape.land().outposts
    outposts = np.zeros((4, *landscape.inside(landscape.flat).shape), bool)
    for side, pixels in enumerate(sides):
        for place in places(landscape, pixels):
            outposts[side][place] = True
    for image, values in enumerate(landscape.inside(landscape.flat)):
        for level in np.unique(values):
            labels, count = ndimage.label(values >= level, EVERYWHERE)
            for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
                found = [np.argwhere((labels == number) & posts[image]) for posts in outposts]
                left, top, right, bottom = found
                assert left[:, 1].min() == columns.start
                assert top[:, 0].min() == rows.start
                assert right[:, 1].max() == columns.stop - 1
                assert bottom[:, 0].max() == rows.stop - 1
            assert count > 0


def test_three_summits_around_a_lake():
    maps = np.array([[
        [0, 0, 0, 0, 0, 0, 0],
        [0, 9, 8, 2, 6, 7, 0],
        [0, 8, 1, 1, 1, 6, 0],
        [0, 7, 4, 3, 5, 6, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]], dtype=float)  # fmt: skip
    landscape = Landscape(maps)
    land, lakes = landscape.land(), landscape.lakes()
    height = landscape.flat
    assert height[land.seats[1:]].tolist() == [9, 7, 6]
    assert height[lakes.seats[1:]].tolist() == [1]
    passes = {
        height[pixel]: {height[land.seats[one]], height[land.seats[other]]}
        for pixel, one, other in land.meetings.T
    }
    assert passes == {6: {7, 6}, 3: {9, 6}, 2: {9, 7}}
    # The same pixels part the lake from the frame, and there it would run over.
    assert {(height[pixel], one + other) for pixel, one, other in lakes.meetings.T} == {
        (6, 1), (3, 1), (2, 1),
    }  # fmt: skip
