import numpy as np
import pytest

from lookcloser.scratch import check_gradients, numeric_gradient, relative_error


def test_numeric_gradient_of_a_known_function(rng):
    x, upstream = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    before = x.copy()
    gradient = numeric_gradient(lambda: np.sin(x), x, upstream)
    np.testing.assert_allclose(gradient, np.cos(before) * upstream, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(x, before)


def test_numeric_gradient_where_the_function_returns_its_own_argument():
    """All evaluations are the same array then: each must be used before the next."""
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(numeric_gradient(lambda: x, x, np.array([3.0, 5.0])), [3.0, 5.0])


def test_relative_error():
    assert relative_error(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert relative_error(np.array([1.0, 3.0]), np.array([1.0, 1.0])) == pytest.approx(0.5)
    assert relative_error(np.array([1e-12]), np.array([0.0])) == pytest.approx(1e-4)
    assert relative_error(np.array([1e-12]), np.array([0.0]), floor=1e-6) == pytest.approx(1e-6)


def test_check_gradients_finds_the_wrong_one(rng):
    params = {"a": rng.normal(size=3), "b": rng.normal(size=2)}

    def loss():
        return float(np.sum(params["a"] ** 3) * np.sum(params["b"]))

    grads = {
        "a": 3 * params["a"] ** 2 * np.sum(params["b"]),
        "b": np.full(2, -np.sum(params["a"] ** 3)),
    }
    errors = check_gradients(loss, params, grads)
    assert errors["a"] <= 1e-6
    assert errors["b"] > 0.5
