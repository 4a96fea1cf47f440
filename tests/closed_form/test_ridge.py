import numpy as np
import pytest
from sklearn.linear_model import Ridge

from lookcloser.closed_form import Memory, fit_ridge
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


def test_features_that_are_all_the_same():
    with pytest.raises(ValueError, match="the same"):
        fit_ridge(Memory.of(np.ones((4, 3), np.float32), np.ones((4, 1), dtype=bool)))
