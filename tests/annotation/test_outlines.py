import numpy as np
import pytest
from pycocotools import mask as coco_mask
from scipy import ndimage

from lookcloser.annotation.outlines import (
    bounds,
    largest_part,
    outline,
    run_lengths,
    scaled_box,
    segmentation,
    simplified,
    written_area,
)
from lookcloser.core.sizes import Grid, ImageSize
from lookcloser.metrics import boxes_from_maps

# pycocotools 2.0.11 answers NumPy 2's call of __array__ in the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def smooth(seed, shape=(40, 56)):
    noise = np.random.default_rng(seed).normal(size=shape)
    array = ndimage.gaussian_filter(noise, 4)
    return (array - array.min()) / np.ptp(array)


def decoded(found, size):
    """A segmentation as pycocotools draws it."""
    coded = coco_mask.frPyObjects(found, size[1], size[0])
    mask = coco_mask.decode(coded)
    return (mask.any(axis=2) if mask.ndim == 3 else mask).astype(bool)


def shoelace(corners):
    x, y = corners.T
    return 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("threshold", [0.2, 0.6])
def test_the_part_is_the_one_that_boxes_are_put_around(seed, threshold):
    array = smooth(seed)
    part = largest_part(array, threshold)
    assert bounds(part) == tuple(boxes_from_maps(array[None], threshold)[0])


def test_a_map_without_evidence_has_no_part():
    assert largest_part(np.zeros((4, 4)), 0.2) is None


def test_holes_are_filled_and_the_smaller_part_left_out():
    array = np.zeros((9, 12))
    array[1:6, 1:6] = 1
    array[3, 3] = 0
    array[7:, 10:] = 1
    part = largest_part(array, 0.5)
    assert part.sum() == 25
    assert part[3, 3]
    assert not part[8, 11]


@pytest.mark.parametrize("seed", range(12))
def test_the_outline_encloses_exactly_the_mask(seed):
    part = largest_part(smooth(seed), 0.55)
    corners = outline(part)
    assert shoelace(corners) == part.sum(), "clockwise on the screen, area in pixels"
    assert [*corners.min(axis=0), *corners.max(axis=0)] == list(bounds(part))
    steps = np.diff(corners, axis=0, append=corners[:1])
    assert ((steps != 0).sum(axis=1) == 1).all(), "along pixel edges"
    turns = np.sign(steps)
    assert (turns != np.roll(turns, 1, axis=0)).any(axis=1).all(), "corners only"
    # At ten times the size pycocotools' own rounding of polygons is a matter of thin edges.
    drawn = decoded([(corners * 10).ravel().tolist()], (560, 400))
    wanted = np.kron(part, np.ones((10, 10))).astype(bool)
    assert (drawn & wanted).sum() / (drawn | wanted).sum() > 0.97


def test_pixels_that_meet_at_a_corner_have_one_outline():
    mask = np.zeros((5, 5), bool)
    mask[0, 0] = mask[1, 1] = mask[2, 0] = mask[2, 2] = True
    corners = outline(mask)
    assert shoelace(corners) == 4
    assert [*corners.min(axis=0), *corners.max(axis=0)] == [0, 0, 3, 3]


def test_one_pixel():
    mask = np.zeros((3, 3), bool)
    mask[1, 2] = True
    assert outline(mask).tolist() == [[2, 1], [3, 1], [3, 2], [2, 2]]


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_those_of_coco(seed):
    mask = np.random.default_rng(seed).random((7, 5)) < 0.5
    mask[0, 0] = seed % 2
    found = {"size": [7, 5], "counts": run_lengths(mask)}
    np.testing.assert_array_equal(decoded(found, (5, 7)), mask)
    assert sum(run_lengths(mask)) == 35


@pytest.mark.parametrize("mask", [np.ones((3, 4), bool), np.zeros((3, 4), bool)])
def test_run_lengths_of_full_and_empty(mask):
    found = {"size": [3, 4], "counts": run_lengths(mask)}
    np.testing.assert_array_equal(decoded(found, (4, 3)), mask)


@pytest.mark.parametrize("size", [ImageSize(300, 150), ImageSize(41, 93), ImageSize(56, 40)])
def test_both_forms_are_in_pixels_of_the_image(size):
    part = largest_part(smooth(3), 0.5)
    height, width = part.shape
    box = scaled_box(bounds(part), Grid(*part.shape), size)
    polygon = np.array(segmentation(part, size, "polygons")[0]).reshape(-1, 2)
    np.testing.assert_allclose([*polygon.min(axis=0), *polygon.max(axis=0)], box, atol=0.01)
    runs = decoded(segmentation(part, size, "rle"), size)
    assert runs.shape == (size[1], size[0])
    for x, y in ((0, 0), (size[0] // 2, size[1] // 2), (size[0] - 1, size[1] - 1)):
        row, column = int((y + 0.5) * height / size[1]), int((x + 0.5) * width / size[0])
        assert runs[y, x] == part[row, column]
    share = part.mean()
    assert runs.mean() == pytest.approx(share, abs=0.03)
    assert shoelace(polygon) / (size[0] * size[1]) == pytest.approx(share, rel=0.05)


def test_an_outline_keeps_the_corners_that_matter():
    y, x = np.mgrid[:200, :300]
    disc = (x - 150) ** 2 / 120**2 + (y - 100) ** 2 / 80**2 <= 1
    whole = outline(disc)
    few = simplified(whole, 2.0)
    assert len(whole) > 200
    assert len(few) < 30
    assert [*few.min(axis=0), *few.max(axis=0)] == [*whole.min(axis=0), *whole.max(axis=0)]
    assert shoelace(few) == pytest.approx(disc.sum(), rel=0.03)


def test_a_square_stays_a_square():
    square = outline(np.ones((4, 6), bool))
    assert sorted(map(tuple, simplified(square, 2.0))) == [(0, 0), (0, 4), (6, 0), (6, 4)]


@pytest.mark.parametrize("seed", range(20))
def test_no_corner_is_further_away_than_allowed(seed):
    noise = np.random.default_rng(seed).random((30, 40))
    part = largest_part(noise, 0.6)
    whole = outline(part)
    few = simplified(whole, 1.5)
    ends = np.roll(few, -1, axis=0)
    for corner in whole.astype(float):
        along = ends - few
        share = ((corner - few) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-12)
        nearest = few + np.clip(share, 0, 1)[:, None] * along
        assert np.linalg.norm(nearest - corner, axis=1).min() <= 1.5 + 1e-9


def test_the_area_is_that_of_what_is_written():
    assert written_area((1.0, 2.0, 4.0, 6.0), None) == 12.0
    assert written_area((0, 0, 9, 9), [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]) == 60.0
    assert written_area((0, 0, 9, 9), {"size": [30, 40], "counts": [33, 4, 26, 4, 1133]}) == 8.0
