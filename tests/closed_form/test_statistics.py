import numpy as np
import pytest

from lookcloser.closed_form import Statistics


def drawn(count=40, width=6, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)), rng.uniform(size=(count, labels)) < 0.5


def test_parts_add_up_to_the_whole():
    features, labels = drawn()
    whole = Statistics.of(features, labels)
    parts = Statistics.of(features[:13], labels[:13]) + Statistics.of(features[13:], labels[13:])
    assert parts.count == whole.count
    for name in ("per_label", "label_sums", "total", "moment"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)


def test_scatters_are_those_of_the_rows():
    features, _ = drawn()
    classes = np.arange(40) % 3
    found = Statistics.of(features, np.eye(3, dtype=bool)[classes])
    means = np.stack([features[classes == c].mean(axis=0) for c in range(3)])
    np.testing.assert_allclose(found.means, means, rtol=1e-12)
    deviations = features - means[classes]
    np.testing.assert_allclose(found.within, deviations.T @ deviations, atol=1e-10)
    around = features - features.mean(axis=0)
    np.testing.assert_allclose(found.around_mean, around.T @ around, atol=1e-10)


def test_labels_move_to_new_numbers():
    features, labels = drawn()
    found = Statistics.of(features, labels).widened(np.array([4, 0, 2]), 5)
    expected = np.zeros((40, 5), dtype=bool)
    expected[:, [4, 0, 2]] = labels
    again = Statistics.of(features, expected)
    assert np.array_equal(found.per_label, again.per_label)
    assert np.array_equal(found.label_sums, again.label_sums)


def test_single_precision_is_summed_in_double():
    features = np.full((10_000, 1), 0.1, dtype=np.float32)
    found = Statistics.of(features, np.ones((10_000, 1), dtype=bool))
    assert found.total[0] == pytest.approx(10_000 * float(np.float32(0.1)), rel=1e-12)
