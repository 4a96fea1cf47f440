"""Classification scores against scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as torchmetrics
from scipy.stats import binom
from sklearn import metrics as sklearn

from lookcloser.core import LookcloserError
from lookcloser.metrics import classification as cls


def predicted(count=400, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, count)
    logits = rng.standard_normal((count, classes))
    logits[np.arange(count), targets] += rng.choice([0, 2], count)
    return logits, targets


def softmax(logits):
    return torch.from_numpy(logits).softmax(dim=1).numpy()


@pytest.mark.parametrize("k", [1, 2, 5, 7, 50])
def test_top_k(k):
    logits, targets = predicted()
    found = cls.topk_accuracy(logits, targets, k)
    best = np.argsort(-logits, axis=1)[:, :k]
    assert found == np.mean([target in row for target, row in zip(targets, best, strict=True)])
    if k < 7:
        expected = sklearn.top_k_accuracy_score(targets, logits, k=k, labels=range(7))
        assert found == pytest.approx(expected, abs=1e-12)
    assert cls.topk_accuracy(torch.from_numpy(logits), torch.from_numpy(targets), k) == found
    assert cls.topk_hits(softmax(logits), targets, k).mean() == found


def test_ties_go_to_the_lower_index():
    scores = np.ones((4, 4))
    assert cls.topk_hits(scores, [0, 1, 2, 3], 1).tolist() == [True, False, False, False]
    assert cls.topk_hits(scores, [0, 1, 2, 3], 2).tolist() == [True, True, False, False]


def test_nan_is_no_hit():
    scores = [[np.nan, 1.0], [2.0, np.nan]]
    assert cls.topk_hits(scores, [0, 0], 1).tolist() == [False, True]
    assert cls.topk_hits(scores, [0, 0], 2).tolist() == [False, True]


def test_confusion_has_true_rows():
    assert cls.confusion_matrix([1, 1, 2], [0, 1, 1], 3).tolist() == [[0, 1, 0], [0, 1, 1], [0] * 3]
    logits, targets = predicted()
    guesses = logits.argmax(axis=1)
    expected = sklearn.confusion_matrix(targets, guesses, labels=range(9))
    np.testing.assert_array_equal(cls.confusion_matrix(guesses, targets, 9), expected)


def test_per_class_is_scikit_learns():
    logits, targets = predicted(classes=6)
    targets, guesses = np.where(targets == 2, 3, targets), logits.argmax(axis=1)
    guesses[guesses == 4] = 5
    names = ["a", "b", "absent", "d", "never predicted", "f", "neither"]
    precision, recall, f1, count = sklearn.precision_recall_fscore_support(
        targets, guesses, labels=range(7), zero_division=np.nan
    )
    found = cls.per_class(guesses, targets, names)
    assert list(found) == names
    for index, name in enumerate(names):
        row = [count[index], recall[index], precision[index], f1[index]]
        assert list(found[name]) == ["count", "accuracy", "precision", "f1"]
        np.testing.assert_allclose(list(found[name].values()), row, rtol=1e-12)
    assert np.isnan(found["absent"]["accuracy"])
    assert np.isnan(found["never predicted"]["precision"])
    assert np.isnan(found["neither"]["f1"])
    assert found["absent"]["f1"] == found["never predicted"]["f1"] == 0


def test_macro_f1():
    logits, targets = predicted(classes=6)
    targets, guesses = np.where(targets == 2, 3, targets), logits.argmax(axis=1)
    found = cls.macro_f1(guesses, targets, 8)
    assert found == pytest.approx(sklearn.f1_score(targets, guesses, average="macro"), abs=1e-12)
    tensors = torch.from_numpy(guesses), torch.from_numpy(targets)
    expected = torchmetrics.multiclass_f1_score(*tensors, num_classes=8, average="macro")
    assert found == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error(bins):
    logits, targets = predicted(3000)
    probabilities = softmax(logits * 2)
    found = cls.expected_calibration_error(probabilities, targets, bins)
    tensors = torch.from_numpy(probabilities), torch.from_numpy(targets)
    expected = torchmetrics.multiclass_calibration_error(*tensors, num_classes=7, n_bins=bins)
    assert found == pytest.approx(float(expected), abs=1e-5)
    assert found > 0.05


def test_reliability_rows():
    # Confidences .6 (right), .7 (wrong), 1 (right), each in a bin of its own.
    probabilities = [[0.6, 0.4], [0.7, 0.3], [0.0, 1.0]]
    rows = cls.reliability(probabilities, [0, 1, 1], bins=5)
    assert [count for *_, count in rows] == [1, 1, 1]
    np.testing.assert_allclose(rows, [[0.6, 1, 1], [0.7, 0, 1], [1.0, 1, 1]])
    rows = cls.reliability(probabilities, [0, 1, 1], bins=2)
    np.testing.assert_allclose(rows, [[2.3 / 3, 2 / 3, 3]])
    assert cls.expected_calibration_error(probabilities, [0, 1, 1], bins=2) == pytest.approx(0.1)
    with pytest.raises(LookcloserError, match="Apply softmax"):
        cls.reliability([[2.0, -1.0]], [0])


@pytest.mark.parametrize("count", [1, 2, 7, 400])
@pytest.mark.parametrize("chance", [0.02, 0.5, 6 / 7, 0.999])
def test_right_confidences_of_one_bin_err_by_the_mean_distance_of_a_binomial(chance, count):
    hits = np.arange(count + 1)
    expected = (binom.pmf(hits, count, chance) * np.abs(hits / count - chance)).sum()
    assert cls.least_calibration_error([(chance, 0.3, count)]) == pytest.approx(expected, rel=1e-9)


def test_what_right_confidences_show_is_what_labels_drawn_from_them_show():
    rng = np.random.default_rng(0)
    confidences = rng.beta(4, 1, 300)
    rows = cls.confidence_bins(confidences, rng.random(300) < 0.5)
    drawn = [
        cls.calibration_error(cls.confidence_bins(confidences, rng.random(300) < confidences))
        for _ in range(400)
    ]
    assert cls.least_calibration_error(rows) == pytest.approx(np.mean(drawn), rel=0.05)
    assert cls.least_calibration_error([(1.0, 0.5, 9), (0.0, 0.5, 9)]) == 0


def test_bins_are_closed_above():
    probabilities = [[0.5, 0.5], [0.75, 0.25]]
    rows = cls.reliability(probabilities, [0, 0], bins=4)
    assert [row[0] for row in rows] == [0.5, 0.75]
    assert len(cls.reliability([[0.5, 0.5], [0.5001, 0.4999]], [0, 0], bins=2)) == 2


def test_bootstrap_interval():
    hits = np.arange(1000) % 5 > 0
    low, high = cls.bootstrap_interval(hits, seed=1)
    # The binomial's own 95 % interval.
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert low == pytest.approx(0.8 - spread, abs=3e-3)
    assert high == pytest.approx(0.8 + spread, abs=3e-3)
    assert cls.bootstrap_interval(hits, seed=1) == (low, high)
    assert cls.bootstrap_interval(hits, seed=2) != (low, high)
    narrow = cls.bootstrap_interval(hits, seed=1, level=0.5)
    assert low < narrow[0] < 0.8 < narrow[1] < high
    assert cls.bootstrap_interval([0.3], n=10) == (0.3, 0.3)


@pytest.mark.parametrize(("size", "level"), [(1, 0.95), (13, 0.95), (500, 0.9)])
def test_the_interval_of_hits_that_are_all_alike_is_the_exact_one(size, level):
    stats = pytest.importorskip("scipy.stats", reason="compares with SciPy")
    for hits in (0, size):
        exact = stats.binomtest(hits, size).proportion_ci(level)
        found = cls.bootstrap_interval([hits > 0] * size, level=level)
        assert found == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert cls.bootstrap_interval([0.0] * 4) == (0.0, 0.0), "scores, of which no share is known"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cls.topk_accuracy([1.0, 2.0], [0]), "Scores of shape"),
        (lambda: cls.topk_accuracy(np.zeros((0, 3)), []), "Scores of shape"),
        (lambda: cls.topk_accuracy([[1.0, 2.0]], [2]), "2 among the targets"),
        (lambda: cls.topk_accuracy([[1.0, 2.0]], [-1]), "class indices 0 to 1"),
        (lambda: cls.topk_accuracy([[1.0, 2.0]], [0, 1]), "1 rows of scores for 2 targets"),
        (lambda: cls.topk_accuracy([[1.0, 2.0]], [0], 0), "k = 0"),
        (lambda: cls.confusion_matrix([0, 1], [0], 2), "2 predictions for 1 targets"),
        (lambda: cls.confusion_matrix([], [], 2), "No predictions"),
        (lambda: cls.macro_f1([3], [0], 2), "3 among the predictions"),
        (lambda: cls.bootstrap_interval([]), "No values"),
    ],
)
def test_errors_name_the_fault(call, message):
    with pytest.raises(LookcloserError, match=message):
        call()
