import numpy as np
import pytest
from sklearn.linear_model import Ridge

from lookcloser.closed_form import Memory, fit_ridge
from lookcloser.closed_form.ridge import expected_temperature
from lookcloser.core.calibration import COLDEST, HOTTEST
from lookcloser.metrics import multilabel_scores


def drawn(count=80, width=12, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width)).astype(np.float32)
    directions = np.random.default_rng(9).normal(size=(labels, width))
    return features, features @ directions.T + rng.normal(size=(count, labels)) > 1.0


def logits(head, features):
    return features.astype(np.float64) @ head.weight.T + head.bias


@pytest.mark.parametrize("count", [9, 80])
def test_it_is_the_peers_ridge(count):
    features, labels = drawn(count)
    shrinkage = 0.3
    head = fit_ridge(Memory.of(features, labels), shrinkages=[shrinkage])
    rows = features - features.astype(float).mean(axis=0)
    level = shrinkage * np.trace(rows.T @ rows / count) / 12
    peer = Ridge(alpha=level * count / (1 - shrinkage)).fit(features.astype(float), labels)
    shares = (labels.sum(axis=0) + 0.5) / (count + 1)
    spread = shares * (1 - shares)
    np.testing.assert_allclose(head.weight * spread[:, None], peer.coef_, rtol=1e-6, atol=1e-9)
    given = peer.predict(features.astype(float)) - labels.mean(axis=0)
    temperature = head.calibration.temperature
    expected = given / spread + temperature * np.log(shares / (1 - shares))
    np.testing.assert_allclose(logits(head, features), expected, rtol=1e-6, atol=1e-6)


def test_images_left_out_are_answered_by_the_others():
    features, labels = drawn(25)
    head = fit_ridge(Memory.of(features, labels), shrinkages=[0.5])
    rows = features.astype(float)
    centered = rows - rows.mean(axis=0)
    alpha = 0.5 * np.trace(centered.T @ centered / 25) / 12 * 25 / 0.5
    shares = (labels.sum(axis=0) + 0.5) / 26
    right = []
    for row in range(25):
        rest = np.arange(25) != row
        peer = Ridge(alpha=alpha).fit(rows[rest], labels[rest])
        given = (peer.predict(rows[row : row + 1])[0] - labels.mean(axis=0)) / (
            shares * (1 - shares)
        )
        odds = np.log(shares / (1 - shares))
        right.append((given / head.calibration.temperature + odds > 0) == labels[row])
    assert head.accuracy == pytest.approx(np.mean(right))


def test_it_ranks_and_decides_new_images():
    head = fit_ridge(Memory.of(*drawn(200)))
    features, labels = drawn(500, seed=1)
    scores = 1 / (1 + np.exp(-logits(head, features) / head.calibration.temperature))
    assert multilabel_scores(scores, labels, k=1)["mAP"] > 0.8
    assert ((scores > 0.5) == labels).mean() > 0.85
    assert scores.mean() == pytest.approx(labels.mean(), abs=0.05)


def test_adding_later_equals_training_with_everything():
    features, labels = drawn(90)
    for limit in (1000, 40):
        whole = fit_ridge(Memory.of(features, labels, limit))
        first, second = (
            Memory.of(features[s], labels[s], limit) for s in (slice(50), slice(50, 90))
        )
        added = fit_ridge(first.added(second, np.arange(3), np.arange(3)))
        np.testing.assert_allclose(added.weight, whole.weight, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(added.bias, whole.bias, rtol=1e-8, atol=1e-9)


def test_a_tag_that_is_always_or_never_there():
    features, labels = drawn()
    labels[:, 0], labels[:, 1] = True, False
    head = fit_ridge(Memory.of(features, labels))
    scores = logits(head, features)
    assert (scores[:, 0] > 0).all()
    assert (scores[:, 1] < 0).all()


def apart(count, gap, width=300):
    """Two tags, each image with one of them, ``gap`` standard deviations from the others."""
    rng = np.random.default_rng(0)
    which = np.arange(count) % 2
    ends = rng.normal(size=(2, width))
    ends *= gap / np.linalg.norm(ends[0] - ends[1])
    features = ends[which] + rng.normal(size=(count, width))
    return features.astype(np.float32), np.stack([which == 0, which == 1], axis=1)


@pytest.mark.parametrize("count", [4, 6, 12])
def test_few_images_that_are_all_right_are_no_certainty(count):
    features, labels = apart(count, gap=40)
    head = fit_ridge(Memory.of(features, labels))
    assert head.accuracy == 1
    assert head.calibration.temperature > 30 * COLDEST
    nats = np.abs(logits(head, features) / head.calibration.temperature)
    assert 2 < nats.max() < 60


def test_few_images_that_are_all_wrong_still_say_something():
    """Left out, an image of two makes its own tag the rarer one."""
    features, labels = apart(4, gap=4)
    head = fit_ridge(Memory.of(features, labels))
    assert head.accuracy < 0.5
    assert head.calibration.temperature < HOTTEST / 100


def test_the_temperature_of_two_normal_distributions_is_expected():
    """Their log-odds are 1 / (1 - R²) of what the regression says above the share."""
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.3
    rows = rng.normal(size=(20_000, 1)) + 2.0 * truth[:, None]
    fitted = np.polyval(np.polyfit(rows[:, 0], truth, 1), rows)
    mean = truth.mean(keepdims=True)
    spread = mean * (1 - mean)
    expected = expected_temperature(fitted, truth[:, None], mean, spread)
    assert expected.temperature == pytest.approx(1 / (1 + 0.21 * 2.0**2), rel=0.02)
    slope = np.polyfit(rows[:, 0], (fitted - mean)[:, 0] / spread, 1)[0]
    assert slope / expected.temperature == pytest.approx(2.0, rel=0.02), "of the log-odds"


def test_what_is_expected_of_nothing_is_no_change():
    features, labels = drawn()
    labels[:] = False
    head = fit_ridge(Memory.of(features, labels))
    assert np.isfinite(head.calibration.temperature)
    assert (logits(head, features) < 0).all()


def test_features_that_are_all_the_same():
    with pytest.raises(ValueError, match="the same"):
        fit_ridge(Memory.of(np.ones((4, 3), np.float32), np.ones((4, 1), dtype=bool)))
