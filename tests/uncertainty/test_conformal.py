import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from lookcloser.core.calibration import EVERY_LABEL
from lookcloser.uncertainty import (
    aps_scores,
    aps_sets,
    conformal_quantile,
    lac_scores,
    lac_sets,
    softmax,
)


def drawn(count, classes=6, seed=0):
    """Probabilities, and classes drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = softmax(3 * rng.normal(size=(count, classes)))
    odds = probabilities.cumsum(axis=1)
    targets = (rng.uniform(size=(count, 1)) > odds).sum(axis=1).clip(max=classes - 1)
    return probabilities, targets


class Given(ClassifierMixin, BaseEstimator):
    """A peer's idea of a classifier whose inputs are its answers."""

    def fit(self, answers, targets):
        self.classes_ = np.unique(targets)
        return self

    def predict_proba(self, answers):
        return answers

    def predict(self, answers):
        return answers.argmax(axis=1)

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.filterwarnings("ignore")  # the peer's own
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("method", ["lac", "aps"])
def test_sets_are_the_peers(method, coverage):
    mapie = pytest.importorskip("mapie.classification")
    (given, targets), (new, _) = drawn(400), drawn(300, seed=1)
    peer = mapie.SplitConformalClassifier(
        Given().fit(given, targets),
        confidence_level=coverage,
        conformity_score=method,
        prefit=True,
        random_state=3,
    ).conformalize(given, targets)
    _, expected = peer.predict_set(new)
    if method == "lac":
        sets = lac_sets(new, conformal_quantile(lac_scores(given, targets), coverage))
    else:
        uniform = np.random.RandomState(3).uniform(size=len(given))
        sets = aps_sets(new, conformal_quantile(aps_scores(given, targets, uniform), coverage))
    assert np.array_equal(sets, expected[:, :, 0])


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_promise_is_kept(coverage):
    shares = []
    for seed in range(20):
        (given, truth), (new, targets) = drawn(500, seed=seed), drawn(1000, seed=1000 + seed)
        sets = lac_sets(new, conformal_quantile(lac_scores(given, truth), coverage))
        shares.append(sets[np.arange(1000), targets].mean())
    assert np.mean(shares) == pytest.approx(coverage, abs=0.01)


def test_cumulated_scores_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert aps_scores(probabilities, np.array([1, 0])) == pytest.approx([0.8, 1.0])
    half = aps_scores(probabilities, np.array([1, 0]), np.array([0.5, 0.5]))
    assert half == pytest.approx([0.65, 0.95])
    assert aps_sets(probabilities, 0.8).tolist() == [[True, True, False], [False, True, True]]


@pytest.mark.parametrize(
    ("count", "coverage", "rank"), [(19, 0.95, 19), (20, 0.95, 20), (99, 0.9, 90), (39, 0.5, 20)]
)
def test_the_quantile_is_an_order_statistic(count, coverage, rank):
    scores = np.random.default_rng(0).permutation(count).astype(float)
    assert conformal_quantile(scores, coverage) == rank - 1


def test_too_few_images_promise_every_label():
    quantile = conformal_quantile(np.zeros(18), 0.95)
    assert quantile == EVERY_LABEL
    probabilities = np.array([[1.0, 0.0, 0.0]])
    assert lac_sets(probabilities, quantile).all()
    assert aps_sets(probabilities, quantile).all()


def test_a_set_of_the_most_probable_is_never_empty():
    assert aps_sets(np.array([[0.9, 0.1]]), 0.0).tolist() == [[True, False]]
    assert not lac_sets(np.array([[0.6, 0.4]]), 0.3).any()
