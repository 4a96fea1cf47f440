import numpy as np
import pytest

from lookcloser.auditing.shares import border_lift, corner_lift, densities, lift


def test_densities_are_positive_evidence_that_sums_to_one():
    maps = np.array([[[1.0, -5.0], [3.0, 0.0]], [[-1.0, -2.0], [-3.0, 0.0]]])
    found = densities(maps)
    np.testing.assert_allclose(found[0], [[0.25, 0], [0.75, 0]])
    assert (found[1] == 0).all(), "no evidence stays none"


@pytest.mark.parametrize("shape", [(3, 3), (7, 7), (8, 8), (5, 9), (1, 1)])
def test_even_evidence_has_no_lift(shape):
    even = np.full((1, *shape), 1 / np.prod(shape))
    assert border_lift(even)[0] == pytest.approx(1)
    assert corner_lift(even)[0] == pytest.approx(1)


def spread(density, side=240):
    """Evidence as pixels, each cell filled evenly."""
    ys, xs = ((np.arange(side) * n // side) for n in density.shape)
    fine = density[ys[:, None], xs]
    return fine / fine.sum()


@pytest.mark.parametrize("shape", [(3, 3), (4, 5), (7, 7)])
def test_lifts_are_those_of_pixels(shape):
    density = densities(np.random.default_rng(0).random((1, *shape)))
    fine = spread(density[0], 840)
    position = (np.arange(840) + 0.5) / 840
    edge = np.minimum(position, 1 - position)
    frame = (edge[:, None] < 1 / 8) | (edge < 1 / 8)
    corner = (edge[:, None] < 1 / 4) & (edge < 1 / 4)
    assert border_lift(density)[0] == pytest.approx(fine[frame].sum() / frame.mean(), rel=1e-6)
    assert corner_lift(density)[0] == pytest.approx(fine[corner].sum() / corner.mean(), rel=1e-6)


def test_one_cell_in_the_corner_of_eight():
    density = np.zeros((1, 8, 8))
    density[0, 7, 7] = 1
    assert border_lift(density)[0] == pytest.approx(1 / (28 / 64))
    assert corner_lift(density)[0] == pytest.approx(4)
    density = np.roll(density, (-4, -4), axis=(1, 2))
    assert border_lift(density)[0] == corner_lift(density)[0] == 0


def test_a_lift_does_not_ask_for_a_sum_and_nothing_has_none():
    density = np.array([[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]], np.zeros((2, 2))])
    found = lift(density, np.array([[0.0, 0.0], [0.0, 1.0]]))
    assert found == pytest.approx([1.6, 1.6, 0])
