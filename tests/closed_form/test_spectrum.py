import numpy as np
import pytest

from lookcloser.closed_form.spectrum import Products, Spectrum, shrunken, solved


@pytest.mark.parametrize("shape", [(5, 12), (30, 12), (12, 12)])
def test_a_spectrum_rebuilds_the_scatter(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    for found in (Spectrum.of_rows(rows), Spectrum.of_scatter(rows.T @ rows)):
        rebuilt = (found.vectors * found.values) @ found.vectors.T
        np.testing.assert_allclose(rebuilt, rows.T @ rows, atol=1e-10)
        assert len(found.values) == min(shape)


@pytest.mark.parametrize("shape", [(5, 12), (30, 12)])
@pytest.mark.parametrize("shrinkage", [0.001, 0.5, 1.0])
def test_inverses_are_numpys(shape, shrinkage):
    rng = np.random.default_rng(1)
    rows, means = rng.normal(size=shape), rng.normal(size=(3, 12))
    spectrum, covariance = Spectrum.of_rows(rows), rows.T @ rows / 7
    matrix = shrunken(spectrum, 7, shrinkage)
    full = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 12 * np.eye(12)
    inverse = np.linalg.inv(full)
    np.testing.assert_allclose(solved(spectrum, matrix, rows), rows @ inverse, rtol=1e-8)
    between, squares, among = Products(spectrum, rows, means).under(matrix)
    np.testing.assert_allclose(between, rows @ inverse @ means.T, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(squares, np.diag(rows @ inverse @ rows.T), rtol=1e-8)
    np.testing.assert_allclose(among, means @ inverse @ means.T, rtol=1e-8, atol=1e-8)


def test_what_does_not_vary_has_no_direction():
    assert len(Spectrum.of_rows(np.zeros((4, 9))).values) == 0
    same = np.outer([1.0, -1, 2], np.arange(9))
    assert len(Spectrum.of_rows(same).values) == 1
    assert len(Spectrum.of_scatter(same.T @ same).values) == 1
