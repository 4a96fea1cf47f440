import time

import numpy as np
import pytest

from lookcloser.closed_form import Memory, fit_discriminant


def drawn(count=60, width=10, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % classes
    means = rng.normal(size=(classes, width))
    return (means[numbers] + rng.normal(size=(count, width))).astype(np.float32), numbers


def one_hot(classes, number=4):
    return np.eye(number, dtype=bool)[classes]


def joined(features, classes, limit):
    """Class 1 comes later, and with it more images of class 3; names go on in their order."""
    late = (classes == 1) | ((classes == 3) & (np.arange(len(classes)) > 30))
    early = ~late
    first = Memory.of(features[early], one_hot(classes[early])[:, [0, 2, 3]], limit)
    second = Memory.of(features[late], one_hot(classes[late])[:, [1, 3]], limit)
    return first.added(second, np.array([0, 2, 3]), np.array([1, 3]))


@pytest.mark.parametrize("limit", [1000, 25, 60])
def test_adding_later_equals_training_with_everything(limit):
    features, classes = drawn()
    whole = Memory.of(features, one_hot(classes), limit)
    added = joined(features, classes, limit)
    assert added.count == whole.count == 60
    assert np.array_equal(added.features, whole.features)
    assert np.array_equal(added.labels, whole.labels)
    assert (added.statistics is None) == (limit >= 60)
    one, other = fit_discriminant(whole), fit_discriminant(added)
    assert one.shrinkage == other.shrinkage
    np.testing.assert_allclose(one.weight, other.weight, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.bias, other.bias, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        one.calibration.temperature, other.calibration.temperature, rtol=1e-9
    )


def test_a_part_of_the_images_is_kept_but_all_are_counted():
    features, classes = drawn(400)
    whole, part = (Memory.of(features, one_hot(classes), limit) for limit in (400, 50))
    assert (len(part.features), part.count) == (50, 400)
    one, other = (fit_discriminant(memory, shrinkages=[0.3]) for memory in (whole, part))
    # The same discriminant but for the temperature, at which the classes' shares are added.
    np.testing.assert_allclose(one.weight, other.weight, rtol=1e-8)
    np.testing.assert_allclose(one.bias, other.bias, rtol=1e-8)
    assert other.calibration.images == 50


def test_the_order_of_images_does_not_matter():
    features, classes = drawn()
    order = np.random.default_rng(1).permutation(len(features))
    one = Memory.of(features, one_hot(classes), 20)
    other = Memory.of(features[order], one_hot(classes[order]), 20)
    assert np.array_equal(one.features, other.features)
    assert np.array_equal(one.labels, other.labels)


def test_adding_a_class_costs_a_few_eigendecompositions():
    """30 images to 49 classes of 30, 1,280 features each; seconds differ from machine to machine.

    Measured in the same process, so that threads that wait for each other cost both alike.
    """
    features, classes = drawn(1500, width=1280, classes=50)
    early = classes < 49
    first = Memory.of(features[early], one_hot(classes[early], 49))
    second = Memory.of(features[~early], np.ones((30, 1), dtype=bool))
    before = time.process_time()
    head = fit_discriminant(first.added(second, np.arange(49), np.array([49])))
    spent, before = time.process_time() - before, time.process_time()
    scatter = features.T @ features
    np.linalg.eigh(scatter)
    assert spent < 12 * (time.process_time() - before)
    assert head.weight.shape == (50, 1280)


@pytest.mark.parametrize("limit", [1000, 25])
def test_an_image_that_comes_again_counts_once(limit):
    features, classes = drawn()
    once = Memory.of(features, one_hot(classes), limit)
    twice = Memory.of(np.tile(features, (2, 1)), np.tile(one_hot(classes), (2, 1)), limit)
    same = np.arange(4)
    kept = Memory.of(once.features, once.labels, limit)
    for memory in (twice, once.added(kept, same, same)):
        assert memory.count == once.count == 60
        assert np.array_equal(memory.features, once.features)
        one, other = fit_discriminant(once), fit_discriminant(memory)
        np.testing.assert_allclose(one.weight, other.weight, rtol=1e-9, atol=1e-9)


def test_what_is_known_of_a_memory_with_sums_does_not_count_again():
    features, classes = drawn()
    first = Memory.of(features[:20], one_hot(classes[:20]))
    whole = Memory.of(features, one_hot(classes), 30)
    same = np.arange(4)
    found = first.added(whole, same, same)
    again = len(first.features) - (first.count + whole.count - found.count)
    known = {row.tobytes() for row in whole.features}
    assert again == sum(row.tobytes() not in known for row in first.features)
    assert found.per_label.sum() == found.count


def test_the_same_image_under_two_labels_is_two_images():
    features = drawn(2)[0][[0, 0]]
    assert Memory.of(features, one_hot(np.array([0, 1]))).count == 2


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_images_are_told_apart_whatever_the_scale_of_features(scale):
    features, classes = drawn(20)
    assert Memory.of(features * np.float32(scale), one_hot(classes)).count == 20


def test_an_image_is_known_again_on_another_machine():
    """Whose last digits are others, and at the scale of any network."""
    features, classes = drawn()
    noise = 1 + 1e-6 * np.random.default_rng(1).normal(size=features.shape)
    same = np.arange(4)
    for scale in (1e-12, 1.0, 1e12):
        first = Memory.of((scale * features).astype(np.float32), one_hot(classes))
        again = Memory.of((scale * features * noise).astype(np.float32), one_hot(classes))
        assert first.added(again, same, same).count == 60
        other = Memory.of((scale * 1.01 * features).astype(np.float32), one_hot(classes))
        assert first.added(other, same, same).count == 120


def test_images_without_any_label_are_added_as_such():
    """Of tags: a folder in which no image has one says what none of them looks like."""
    features, classes = drawn(20)
    some = Memory.of(features[:15], one_hot(classes[:15]))
    none = Memory.of(features[15:], np.zeros((5, 0), dtype=bool))
    added = some.added(none, np.arange(4), np.array([], dtype=np.int64))
    whole = Memory.of(features, one_hot(classes) & (np.arange(20) < 15)[:, None])
    assert np.array_equal(added.features, whole.features)
    assert np.array_equal(added.labels, whole.labels)
