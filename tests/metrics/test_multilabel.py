"""Multi-label scores against scikit-learn, torchmetrics and literal loops over the definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multilabel_average_precision

from lookcloser.core import LookcloserError
from lookcloser.metrics.multilabel import (
    average_precision,
    map_at,
    multilabel_scores,
    set_scores,
    top_k,
)

SEEDS = range(8)


def table(seed, images=50, classes=14):
    """Scores that know something of the targets; odd seeds have ties."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((images, classes)) < rng.random(classes) * 0.5).astype(int)
    targets[0] = 1  # a positive for every class
    targets[1] = 0  # an image without labels
    scores = 1 / (1 + np.exp(-(targets * 1.5 + rng.normal(size=targets.shape) - 1)))
    return (scores.round(1) if seed % 2 else scores), targets


@pytest.mark.parametrize("seed", SEEDS)
def test_at_a_threshold_equals_scikit_learn(seed):
    scores, targets = table(seed)
    predicted = scores > 0.5
    predicted[:, 3] = False  # a class that is never predicted
    scores[:, 3] = 0.0
    found = {c: multilabel_scores(scores, targets, convention=c) for c in ("paper", "macro")}
    for kind, average in (("C", "macro"), ("O", "micro")):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            targets, predicted, average=average, zero_division=0
        )
        for scored in found.values():
            assert scored[f"{kind}-P@threshold"] == pytest.approx(precision, abs=1e-12)
            assert scored[f"{kind}-R@threshold"] == pytest.approx(recall, abs=1e-12)
        assert found["macro"][f"{kind}-F1@threshold"] == pytest.approx(f1, abs=1e-12)
        harmonic = 2 * precision * recall / (precision + recall)
        assert found["paper"][f"{kind}-F1@threshold"] == pytest.approx(harmonic, abs=1e-12)
    exact = sk.accuracy_score(targets, predicted)
    assert found["paper"]["exact@threshold"] == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 3, 14, 20])
def test_at_k_equals_loops_over_the_definition(seed, k):
    scores, targets = table(seed)
    images, classes = scores.shape
    right, guessed = [0] * classes, [0] * classes
    for i in range(images):
        for c in sorted(range(classes), key=lambda c: (-scores[i, c], c))[:k]:
            guessed[c] += 1
            right[c] += int(targets[i, c])
    true = targets.sum(axis=0).tolist()
    precisions = [r / g if g else 0.0 for r, g in zip(right, guessed, strict=True)]
    recalls = [r / t for r, t in zip(right, true, strict=True)]
    f1s = [2 * p * r / (p + r) if p + r else 0 for p, r in zip(precisions, recalls, strict=True)]
    cp, cr = sum(precisions) / classes, sum(recalls) / classes
    op, o_r = sum(right) / sum(guessed), sum(right) / sum(true)
    found = multilabel_scores(scores, targets, k)
    expected = {
        "C-P": cp,
        "C-R": cr,
        "C-F1": 2 * cp * cr / (cp + cr),
        "O-P": op,
        "O-R": o_r,
        "O-F1": 2 * op * o_r / (op + o_r),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12)
    macro = multilabel_scores(scores, targets, k, "macro")
    assert macro["C-F1"] == pytest.approx(sum(f1s) / classes, abs=1e-12)
    assert "exact" not in found


def test_the_two_conventions_of_c_f1_differ_and_are_named():
    # Class 0: P 1, R 1/2, F1 2/3. Class 1: P 1/2, R 1, F1 2/3. C-P = C-R = 3/4.
    predicted = [[1, 0], [0, 1], [0, 1], [0, 0]]
    targets = [[1, 0], [1, 0], [0, 1], [0, 0]]
    paper = set_scores(predicted, targets, "paper")
    assert paper["C-F1"] == pytest.approx(3 / 4)
    assert set_scores(predicted, targets, "macro")["C-F1"] == pytest.approx(2 / 3)
    assert set_scores(predicted, targets) == paper
    assert paper["exact"] == pytest.approx(3 / 4)
    with pytest.raises(LookcloserError, match=r"papr: unknown convention.*paper"):
        set_scores(predicted, targets, "papr")


@pytest.mark.parametrize("seed", SEEDS)
def test_map_equals_scikit_learn_and_torchmetrics(seed):
    scores, targets = table(seed)
    found = multilabel_scores(scores, targets)["mAP"]
    expected = sk.average_precision_score(targets, scores, average="macro")
    assert found == pytest.approx(expected, abs=1e-12)
    other = multilabel_average_precision(
        torch.tensor(scores), torch.tensor(targets), num_labels=targets.shape[1]
    )
    assert found == pytest.approx(other.item(), abs=1e-5)


def slow_voc(scores, targets, *, eleven):
    """The challenge's definition from the curve at every distinct score."""
    positives, curve = int(targets.sum()), []
    for cut in sorted(set(scores.tolist()), reverse=True):
        taken = scores >= cut
        curve.append((int(targets[taken].sum()), int(targets[taken].sum()) / int(taken.sum())))
    if eleven:
        points = [max(p for found, p in curve if 10 * found >= i * positives) for i in range(11)]
        return sum(points) / 11
    area, before = 0.0, 0
    for found, _ in curve:
        best = max(p for reached, p in curve if reached >= found)
        area += (found - before) / positives * best
        before = found
    return area


@pytest.mark.parametrize("seed", SEEDS)
def test_voc_map_equals_the_definition(seed):
    scores, targets = table(seed)
    found = multilabel_scores(scores, targets)
    for name, method, eleven in (("mAP-VOC", "area", False), ("mAP-VOC11", "11-point", True)):
        expected = [
            slow_voc(scores[:, c], targets[:, c], eleven=eleven) for c in range(targets.shape[1])
        ]
        each = [
            average_precision(scores[:, c], targets[:, c], method) for c in range(len(expected))
        ]
        assert each == pytest.approx(expected, abs=1e-12)
        assert found[name] == pytest.approx(sum(expected) / len(expected), abs=1e-12)


def test_the_eleven_points_are_reached_exactly():
    """3 of 10 positives are a recall of 0.3, although 3 * 0.1 > 0.3 in floating point."""
    targets = np.array([1] * 3 + [0] * 90 + [1] * 7)
    scores = np.linspace(1, 0, 100)
    low = 10 / 100
    expected = (4 * 1.0 + 7 * low) / 11  # points 0, .1, .2 and .3 at precision 1
    assert average_precision(scores, targets, "11-point") == pytest.approx(expected, abs=1e-12)


def test_the_three_methods_on_a_ranking_by_hand():
    # Ranking: + - + ; precisions at the positives 1 and 2/3.
    scores, targets = [0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0]
    assert average_precision(scores, targets) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(scores, targets, "area") == pytest.approx(0.5 + 0.5 * 2 / 3)
    eleven = (6 * 1 + 5 * 2 / 3) / 11
    assert average_precision(scores, targets, "11-point") == pytest.approx(eleven)
    # Ranking: - + + ; interpolation lifts the first positive from 1/2 to 2/3.
    scores = [0.8, 0.9, 0.7, 0.1]
    assert average_precision(scores, targets) == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)
    assert average_precision(scores, targets, "area") == pytest.approx(2 / 3)


def test_the_order_of_equal_scores_does_not_matter():
    targets = np.array([1, 0, 0, 1, 0])
    scores = np.array([0.5, 0.5, 0.5, 0.5, 0.1])
    for method in ("step", "area", "11-point"):
        values = {
            average_precision(scores, [*np.roll(targets[:4], i), 0], method) for i in range(4)
        }
        assert values == {0.5}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 4, 10, 99])
def test_map_at_k_equals_a_loop(seed, k):
    scores, targets = table(seed)
    values = []
    for row, truth in zip(scores, targets, strict=True):
        hits, total = 0, 0.0
        for place, c in enumerate(sorted(range(len(row)), key=lambda c: (-row[c], c))[:k], 1):
            if truth[c]:
                hits += 1
                total += hits / place
        if truth.sum():
            values.append(total / min(k, truth.sum()))
    assert map_at(scores, targets, k) == pytest.approx(sum(values) / len(values), abs=1e-12)
    if k == 10:
        assert multilabel_scores(scores, targets)["mAP@10"] == map_at(scores, targets, 10)


def test_classes_and_images_without_positives_are_left_out_of_means_of_average_precision():
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.3], [0.1, 0.6, 0.9]])
    targets = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    found = multilabel_scores(scores, targets)
    assert found["mAP"] == pytest.approx((1 + 1) / 2), "class 2 has nothing to find"
    assert found["mAP@10"] == pytest.approx((1 + 1 / 2) / 2), "image 2 has nothing to find"
    assert math.isnan(average_precision([0.1], [0]))


def test_minus_infinity_is_never_predicted():
    scores = [[-np.inf, 0.5, -np.inf, 0.1], [0.3, 0.2, 0.1, -np.inf]]
    assert top_k(scores, 3).tolist() == [[False, True, False, True], [True, True, True, False]]
    targets = [[0, 1, 0, 1], [1, 1, 1, 0]]
    found = multilabel_scores(scores, targets, threshold=-1.0)
    assert set(found.values()) == {1.0}


def test_of_equal_scores_the_first_labels_are_taken():
    assert top_k([[0.5, 0.9, 0.5, 0.5]], 2).tolist() == [[True, True, False, False]]


def test_a_score_at_the_threshold_is_below_it():
    found = multilabel_scores([[0.5, 0.6]], [[0, 1]])
    assert found["exact@threshold"] == 1.0


def test_tensors_of_any_precision_with_a_graph_are_taken():
    scores, targets = table(1)
    tensor = torch.tensor(scores, dtype=torch.float16, requires_grad=True)
    expected = multilabel_scores(tensor.detach().double().numpy(), targets)
    assert multilabel_scores(tensor, torch.tensor(targets)) == expected
    assert multilabel_scores(tensor.bfloat16(), torch.tensor(targets, dtype=torch.bool)).keys() == (
        expected.keys()
    )


def test_perfect_scores_are_one_everywhere():
    _, targets = table(0)
    scores = np.where(targets > 0, 0.9, -np.inf)
    found = multilabel_scores(scores, targets, k=14)
    assert all(value == pytest.approx(1.0) for value in found.values())


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([[0.1, 0.2]], [[1]], r"shape \(1, 2\) and targets of shape \(1, 1\)"),
        ([0.1], [1], r"shape \(1,\).*both \(images, classes\)"),
        ([[np.nan]], [[1]], "NaN.*-inf"),
        ([[0.5]], [[2]], "Targets hold 2"),
    ],
)
def test_what_cannot_be_scored_is_refused(scores, targets, message):
    with pytest.raises(LookcloserError, match=message):
        multilabel_scores(scores, targets)


def test_a_depth_below_one_is_refused():
    with pytest.raises(LookcloserError, match="k=0"):
        multilabel_scores([[0.5]], [[1]], k=0)


def test_an_unknown_method_is_refused():
    with pytest.raises(LookcloserError, match=r"11point: unknown method.*11-point"):
        average_precision([0.5], [1], "11point")
