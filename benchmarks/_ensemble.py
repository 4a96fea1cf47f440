"""AutoGluon-style practice with scikit-learn: several models, weighed by cross-validation."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

Features = NDArray[np.float32]
Classes = NDArray[np.int64]
Shares = NDArray[np.float64]
FOLDS, ROUNDS = 5, 25


def models() -> dict[str, ClassifierMixin]:
    """The kinds in AutoGluon's own list as scikit-learn has them, and ridge regression."""
    forest = {"n_estimators": 200, "random_state": 0}
    boosting = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5, random_state=0)
    return {
        "logistic regression": make_pipeline(
            StandardScaler(), LogisticRegression(C=1e-3, max_iter=200)
        ),
        "neural network": make_pipeline(
            StandardScaler(), MLPClassifier((256,), alpha=1.0, max_iter=60, random_state=0)
        ),
        "ridge": make_pipeline(StandardScaler(), RidgeClassifier(1000.0)),
        "nearest neighbors": make_pipeline(
            Normalizer(), KNeighborsClassifier(5, weights="distance")
        ),
        "random forest": RandomForestClassifier(**forest),
        "extra trees": ExtraTreesClassifier(**forest),
        "gradient boosting": make_pipeline(PCA(32, random_state=0), boosting),
    }


def ensemble(train: Features, classes: Classes, test: Features, truth: Classes) -> dict[str, float]:
    """Top-1 of each model, of their weighed mean, and the seconds of the processor.

    The mean is that of Caruana et al. (2004), as in AutoGluon: models are added, each as often as
    it helps the answers to images left out.

    Args:
        train: (N, D).
        classes: (N,) from 0, each of two images or more.
        test: (M, D).
        truth: (M,).
    """
    before = time.process_time()
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    left_out, new = [], []
    for model in models().values():
        answer = _answers(model)
        left_out.append(_scaled(cross_val_predict(model, train, classes, cv=folds, method=answer)))
        fitted = clone(model).fit(train, classes)
        new.append(_scaled(getattr(fitted, answer)(test)))
    counts = chosen(left_out, lambda shares: float((shares.argmax(axis=1) == classes).mean()))
    mean = sum(count * shares for count, shares in zip(counts, new, strict=True))
    tops = {
        name: float((shares.argmax(axis=1) == truth).mean())
        for name, shares in zip(models(), new, strict=True)
    }
    return {
        "ensemble of scikit-learn": float((mean.argmax(axis=1) == truth).mean()),
        "its seconds": time.process_time() - before,
        **tops,
    }


def chosen(answers: list[Shares], score: Callable[[Shares], float]) -> list[int]:
    """How often each model is taken; of equal ones the first."""
    counts, total = [0] * len(answers), np.zeros_like(answers[0])
    best, kept = -1.0, counts
    for _ in range(ROUNDS):
        scores = [score(total + shares) for shares in answers]
        place = int(np.argmax(scores))
        total = total + answers[place]
        counts = [count + (number == place) for number, count in enumerate(counts)]
        if scores[place] > best:
            best, kept = scores[place], counts
    return kept


def _answers(model: ClassifierMixin) -> str:
    return "predict_proba" if hasattr(model, "predict_proba") else "decision_function"


def _scaled(values: Shares) -> Shares:
    """Probabilities; of a regression to -1 and 1, what it says brought between 0 and 1."""
    if values.min() >= 0:
        return values
    odds = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Shares = odds / odds.sum(axis=1, keepdims=True)
    return shares
