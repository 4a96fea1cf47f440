import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from lookcloser.uncertainty import (
    Expected,
    binary_cross_entropy,
    cross_entropy,
    fit_tag_temperature,
    fit_temperature,
    softmax,
)


def drawn(temperature, count=20_000, classes=5, seed=0):
    """Logits, and classes drawn from their softmax at a temperature."""
    rng = np.random.default_rng(seed)
    logits = 4 * rng.normal(size=(count, classes))
    odds = softmax(logits / temperature).cumsum(axis=1)
    return logits, (rng.uniform(size=(count, 1)) > odds).sum(axis=1).clip(max=classes - 1)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 7.0])
def test_the_temperature_that_drew_the_classes_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_it_is_where_the_loss_is_lowest():
    logits, targets = drawn(2.0, count=50)
    found = minimize_scalar(
        lambda log: cross_entropy(logits / np.exp(log), targets), bounds=(-3, 4), method="bounded"
    )
    assert fit_temperature(logits, targets) == pytest.approx(np.exp(found.x), rel=1e-3)


def test_an_offset_is_not_scaled():
    logits, _ = drawn(1.0)
    offset = np.array([3.0, 0, 0, 0, -2.0])
    rng = np.random.default_rng(1)
    odds = softmax(logits / 5 + offset).cumsum(axis=1)
    targets = (rng.uniform(size=(len(logits), 1)) > odds).sum(axis=1).clip(max=4)
    assert fit_temperature(logits, targets, offset) == pytest.approx(5, rel=0.05)
    assert fit_temperature(logits, targets) != pytest.approx(5, rel=0.2)


def test_classes_out_of_the_question_have_no_say():
    logits, targets = drawn(3.0, count=500)
    wider = np.concatenate([logits, np.full((500, 2), -np.inf)], axis=1)
    assert fit_temperature(wider, targets) == fit_temperature(logits, targets)


def test_answers_that_are_all_right_end_at_the_coldest():
    assert fit_temperature(100 * np.eye(3), np.arange(3)) < 0.1


def test_tags():
    rng = np.random.default_rng(0)
    logits = 5 * rng.normal(size=(10_000, 3))
    targets = rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits / 2.5))
    assert fit_tag_temperature(logits, targets) == pytest.approx(2.5, rel=0.05)


def test_losses_are_those_of_torch():
    torch = pytest.importorskip("torch")
    logits, targets = drawn(1.0, count=30)
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(targets))
    assert cross_entropy(logits, targets) == pytest.approx(float(expected), rel=1e-12)
    tags = logits > 1
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    expected = binary(torch.tensor(logits), torch.tensor(tags, dtype=torch.float64))
    assert binary_cross_entropy(logits, tags) == pytest.approx(float(expected), rel=1e-12)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    assert np.array_equal(softmax(logits), np.eye(2))
    assert cross_entropy(logits, np.array([0, 1])) == 0
    assert binary_cross_entropy(logits, logits > 0) == 0


def test_images_that_are_all_right_do_not_make_it_sure_of_everything():
    logits = 10 * np.eye(3)[[0, 1, 2, 0]]
    targets = logits.argmax(axis=1)
    assert fit_temperature(logits, targets) < 0.01
    expected = fit_temperature(logits, targets, expected=Expected(2.0, 1.0))
    assert 1 < expected < 2


def test_many_images_are_believed_whatever_was_expected():
    logits, targets = drawn(7.0)
    far = fit_temperature(logits, targets, expected=Expected(0.1, 1.0))
    assert far == pytest.approx(fit_temperature(logits, targets), rel=0.01)


def test_what_is_expected_is_no_surprise():
    expected = Expected(3.0, 0.5)
    assert expected.surprise(3.0) == 0
    assert expected.surprise(1.5) > 0
    assert expected.surprise(1.5) == pytest.approx(expected.surprise(6.0))
