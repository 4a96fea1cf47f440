"""Scores of label sets and label rankings, each under a named convention.

Classes without a positive, and classes that are never predicted, have precision or recall 0 / 0.
In the precisions, recalls and F1s here that counts as 0 and the class stays in the mean; a mean
average precision leaves out the classes (or images) that have nothing to find.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookcloser.core.errors import LookcloserError, unknown

Convention = Literal["paper", "macro"]
Method = Literal["step", "area", "11-point"]
Counts = NDArray[np.intp]
Floats = NDArray[np.float64]


def multilabel_scores(
    scores: ArrayLike,
    targets: ArrayLike,
    k: int = 3,
    convention: Convention = "paper",
    *,
    threshold: float = 0.5,
) -> dict[str, float]:
    """The usual table of multi-label classification.

    Args:
        scores: (N, C), higher is likelier; -inf for a label that must not be predicted.
        targets: (N, C), 1 for a label of the image, otherwise 0.
        k: The labels predicted per image: the k highest scores, of equal ones the first.
        convention: How C-F1 is made of classes: see `set_scores`.
        threshold: The other way to predict: labels with a score above it.

    Returns:
        Fractions in [0, 1]. "C-P", "C-R", "C-F1", "O-P", "O-R", "O-F1" of the top k; the same with
        "@threshold" appended for the labels above the threshold, and "exact@threshold"; "mAP",
        "mAP-VOC" and "mAP-VOC11", the means over classes of `average_precision` by its three
        methods; "mAP@10" is `map_at` 10. NaN for a mean over nothing.

    Raises:
        LookcloserError: For shapes that differ, targets other than 0 and 1, NaN scores, or an
            unknown convention.
    """
    ranked, truth = _checked(scores, targets)
    if k < 1:
        raise LookcloserError(f"k={k}", allowed="k of 1 or more")
    result = set_scores(top_k(ranked, k), truth, convention)
    del result["exact"]  # A fixed number of labels says nothing about exact sets.
    above = set_scores(ranked > threshold, truth, convention)
    result |= {f"{name}@threshold": value for name, value in above.items()}
    curves = [_curve(ranked[:, c], truth[:, c]) for c in np.flatnonzero(truth.any(axis=0))]
    for name, area in (("mAP", _step), ("mAP-VOC", _area), ("mAP-VOC11", _eleven_points)):
        result[name] = _mean([area(*curve) for curve in curves])
    result["mAP@10"] = map_at(ranked, truth, 10)
    return result


def set_scores(
    predicted: ArrayLike, targets: ArrayLike, convention: Convention = "paper"
) -> dict[str, float]:
    """Precision, recall and F1 of predicted label sets of any size.

    Args:
        predicted: (N, C), 1 for a predicted label, otherwise 0.
        targets: (N, C), 1 for a label of the image, otherwise 0.
        convention: "paper" (CNN-RNN and most of that literature): C-F1 is the harmonic mean of C-P
            and C-R, which are means over classes. "macro" (scikit-learn, torchmetrics): C-F1 is
            the mean of the F1 of the classes, usually lower.

    Returns:
        "C-P", "C-R", "C-F1": means over classes; "O-P", "O-R", "O-F1": all decisions pooled;
        "exact": the share of images whose set is right as a whole.

    Raises:
        LookcloserError: As `multilabel_scores`.
    """
    if convention not in get_args(Convention):
        raise unknown(convention, "convention", get_args(Convention))
    guess, truth = (array.astype(bool) for array in _checked(predicted, targets))
    right = (guess & truth).sum(axis=0)
    precision = _ratio(right, guess.sum(axis=0))
    recall = _ratio(right, truth.sum(axis=0))
    per_class, recall_per_class = _mean(precision), _mean(recall)
    overall_precision = float(_ratio(right.sum(), guess.sum()))
    overall_recall = float(_ratio(right.sum(), truth.sum()))
    paper = convention == "paper"
    return {
        "C-P": per_class,
        "C-R": recall_per_class,
        "C-F1": float(_f1(per_class, recall_per_class)) if paper else _mean(_f1(precision, recall)),
        "O-P": overall_precision,
        "O-R": overall_recall,
        "O-F1": float(_f1(overall_precision, overall_recall)),
        "exact": _mean((guess == truth).all(axis=1)),
    }


def top_k(scores: ArrayLike, k: int) -> NDArray[np.bool_]:
    """(N, C) -> (N, C), True at the ``k`` highest of each row, of equal ones the first.

    A label with the score -inf is not taken, so that a row may have fewer.
    """
    ranked = _array(scores)
    chosen = np.zeros(ranked.shape, dtype=bool)
    np.put_along_axis(chosen, _order(ranked)[:, :k], True, axis=1)
    return chosen & (ranked > -np.inf)


def average_precision(scores: ArrayLike, targets: ArrayLike, method: Method = "step") -> float:
    """Average precision of one ranking; equal scores share one point of the curve.

    Args:
        scores: (N,)
        targets: (N,), 0 or 1.
        method: "step": Σ (R_n - R_n-1) P_n, no interpolation (scikit-learn). "area": the same with
            P replaced by the highest precision at that recall or more (PASCAL VOC since 2010).
            "11-point": mean of that precision at recalls 0, 0.1, …, 1 (PASCAL VOC 2007).

    Returns:
        A fraction; NaN where no target is 1.

    Raises:
        LookcloserError: For an unknown method.
    """
    if method not in _AREAS:
        raise unknown(method, "method", _AREAS)
    ranked, truth = _array(scores), _array(targets)
    return _AREAS[method](*_curve(ranked, truth)) if truth.any() else float("nan")


def map_at(scores: ArrayLike, targets: ArrayLike, k: int) -> float:
    """Mean over images of the average precision of their ``k`` best labels.

    For an image with n labels: Σ precision(j) over the places j ≤ k that hold one of them, divided
    by min(k, n). Images without labels are left out.

    Args:
        scores: (N, C), ranked per image, of equal ones the first.
        targets: (N, C), 0 or 1.
        k: The depth of the ranking.
    """
    ranked, truth = _array(scores), _array(targets).astype(bool)
    hits = np.take_along_axis(truth, _order(ranked)[:, :k], axis=1)
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    labels = truth.sum(axis=1)
    some = labels > 0
    return _mean((precision * hits).sum(axis=1)[some] / np.minimum(labels[some], k))


def _curve(scores: Floats, targets: Floats) -> tuple[Counts, Floats, int]:
    """Positives found and precision at each distinct score, best first; the number of positives."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_equals = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    found = targets[order].cumsum()[last_of_equals].astype(np.intp)
    return found, found / (last_of_equals + 1), int(found[-1])


def _step(found: Counts, precision: Floats, positives: int) -> float:
    return float((np.diff(found, prepend=0) * precision).sum() / positives)


def _area(found: Counts, precision: Floats, positives: int) -> float:
    return _step(found, _envelope(precision), positives)


def _eleven_points(found: Counts, precision: Floats, positives: int) -> float:
    # Recall is compared in whole numbers: 3 of 10 reach the point 0.3, which 0.1 · 3 > 0.3 hides.
    places = np.searchsorted(found * 10, np.arange(11) * positives)
    return float(_envelope(precision)[places].mean())


_AREAS: dict[str, Callable[[Counts, Floats, int], float]] = {
    "step": _step,
    "area": _area,
    "11-point": _eleven_points,
}


def _envelope(precision: Floats) -> Floats:
    """The highest precision from each place on."""
    highest: Floats = np.maximum.accumulate(precision[::-1])[::-1]
    return highest


def _order(scores: Floats) -> Counts:
    return np.argsort(-scores, axis=1, kind="stable")


def _f1(precision: Any, recall: Any) -> Floats:
    return _ratio(np.multiply(precision, recall) * 2.0, np.add(precision, recall))


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """``part / whole``, 0 where ``whole`` is 0."""
    above, below = np.asarray(part, dtype=float), np.asarray(whole, dtype=float)
    ratio: Floats = np.divide(above, below, out=np.zeros_like(below), where=below > 0)
    return ratio


def _mean(values: ArrayLike) -> float:
    array = np.asarray(values, dtype=float)
    return float(array.mean()) if array.size else float("nan")


def _array(values: Any) -> Floats:
    """As float64; tensors may be on any device, of any precision, part of a graph."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=float)


def _checked(scores: ArrayLike, targets: ArrayLike) -> tuple[Floats, Floats]:
    ranked, truth = _array(scores), _array(targets)
    if ranked.ndim != 2 or ranked.shape != truth.shape:
        raise LookcloserError(
            f"scores of shape {ranked.shape} and targets of shape {truth.shape}",
            allowed="Both (images, classes)",
        )
    if np.isnan(ranked).any():
        raise LookcloserError("scores hold NaN", fix="Use -inf for a label that is not predicted")
    if not np.isin(truth, (0.0, 1.0)).all():
        raise LookcloserError(
            f"targets hold {truth[~np.isin(truth, (0.0, 1.0))][0]:g}", allowed="0 and 1"
        )
    return ranked, truth
