"""Metrics by name -> what a reader sees: a title, a rounded value, its interval, its baselines."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# Normalised name (see `_plain`) -> title and what it measures, most telling first.
KNOWN = {
    "top1": ("Top-1 accuracy", "best answer is the true class"),
    "accuracy": ("Accuracy", "best answer is the true class"),
    "top5": ("Top-5 accuracy", "true class among the best five"),
    "macrof1": ("Macro F1", "mean F1 of the classes, each counts alike"),
    "map": ("mAP", "mean average precision of the labels"),
    "exact": ("Exact set", "every label right and none too many"),
    "cf1": ("C-F1", "F1 of the mean precision and recall of the labels"),
    "of1": ("O-F1", "F1 over all labels of all pictures together"),
    "cf1macro": ("C-F1, macro", "mean F1 of the labels"),
    "cp": ("C-P", "mean precision of the labels"),
    "cr": ("C-R", "mean recall of the labels"),
    "op": ("O-P", "share of the labels answered that are true"),
    "or": ("O-R", "share of the true labels that are answered"),
    "exactcaption": ("Exact caption", "every word is that of a reference"),
    "bleu4": ("BLEU-4", "overlap of four-word runs with the references"),
    "ciderd": ("CIDEr-D", "agreement with the references, rare words count more"),
    "rougel": ("ROUGE-L", "longest common word sequence"),
    "top1loc": ("Top-1 localisation", "right class, and its box has IoU ≥ 0.5"),
    "top5loc": ("Top-5 localisation", "as top-1, for one of the best five"),
    "maxboxacc@0.3": ("MaxBoxAcc @ 0.3", "box of the true class has IoU ≥ 0.3"),
    "maxboxacc@0.5": ("MaxBoxAcc @ 0.5", "box of the true class has IoU ≥ 0.5"),
    "maxboxacc@0.7": ("MaxBoxAcc @ 0.7", "box of the true class has IoU ≥ 0.7"),
    "maxboxaccv2": ("MaxBoxAccV2", "mean over IoU 0.3, 0.5 and 0.7"),
    "corloc": ("CorLoc", "one box has IoU ≥ 0.5, mean over the classes"),
    "pxap": ("PxAP", "average precision of the pixels"),
    "pointing": ("Pointing game", "strongest place lies in a true box"),
    "shiftoverlap": ("Evidence shared", "evidence of a step in common with the step before"),
    "shiftdistance": ("Evidence moved", "from step to step, as a share of the diagonal"),
    "regionsize": ("Evidence size", "share of the picture that it would fill if it were even"),
    "ece": ("Calibration error", "mean gap between confidence and accuracy"),
    "coverage@95": ("Covered at 95 %", "the candidates hold the true class; promised: 95 %"),
    "setsize@95": ("Candidates at 95 %", "classes in such a set, on average"),
    "refused": ("Perhaps none of these", "images of these classes that are doubted; meant: 5 %"),
}
ALIASES = {
    "top1accuracy": "top1",
    "top5accuracy": "top5",
    "top1localisation": "top1loc",
    "top5localisation": "top5loc",
    "pointinggame": "pointing",
    "calibrationerror": "ece",
}
LOCALISATION = ("maxboxacc", "top1loc", "top5loc", "pxap", "pointing", "corloc")
BASELINES = {"centrebox": "centre box", "randommap": "random map"}
NOT_FRACTIONS = ("setsize", "loss", "nll", "perplexity", "cider", "seconds", "persecond")
TILES = frozenset(
    {"top1", "accuracy", "top5", "macrof1", "map", "cf1", "of1", "exact"}
    | {"exactcaption", "bleu4", "ciderd", "rougel", "maxboxacc@0.5", "maxboxaccv2", "ece"}
)


@dataclass(frozen=True)
class Score:
    """One metric, ready for the page; ``baselines`` maps their names to rounded values."""

    key: str
    title: str
    value: str
    note: str = ""
    interval: str = ""
    baselines: Mapping[str, str] = field(default_factory=dict)

    @property
    def localises(self) -> bool:
        """Whether it scores where the model looked."""
        return self.key.startswith(LOCALISATION)


def read_scores(
    metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> list[Score]:
    """Every metric in the order of `KNOWN`, the unknown ones after it in their own order.

    A metric with "centre box" or "random map" in its name (any spelling) becomes a baseline of the
    metric that the rest of the name says, where there is one.
    """
    plain = {name: _plain(name) for name in metrics}
    baselines: dict[str, dict[str, str]] = {}
    rows = []
    for name, value in metrics.items():
        base, of = _baseline(plain[name])
        if base and of in plain.values():
            baselines.setdefault(of, {})[base] = _rounded(of, value)
        else:
            rows.append(name)
    order = list(KNOWN)
    rows.sort(key=lambda name: order.index(plain[name]) if plain[name] in KNOWN else len(order))
    scores = []
    for name in rows:
        key = plain[name]
        title, note = KNOWN.get(key, (name, ""))
        interval = _interval(key, intervals[name]) if name in intervals else ""
        rounded = _rounded(key, metrics[name])
        scores.append(Score(key, title, rounded, note, interval, baselines.get(key, {})))
    return scores


def headline(scores: list[Score]) -> list[Score]:
    """The scores for the top of the page: those of `TILES`, or the first few where none is."""
    return [score for score in scores if score.key in TILES] or scores[:6]


def baseline_names(scores: list[Score]) -> list[str]:
    """The baselines that any of ``scores`` has, in the order of `BASELINES`."""
    return [name for name in BASELINES.values() if any(name in s.baselines for s in scores)]


def percent(value: float, digits: int = 1) -> str:
    """``0.9213`` -> ``92.1 %``, with a narrow space that does not break."""
    return f"{100 * value:.{digits}f}\u202f%" if math.isfinite(value) else "–"


def number(value: float) -> str:
    """Four significant digits at most; whole numbers with thousands separated by a narrow space."""
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:.4g}"


def _plain(name: str) -> str:
    key = re.sub(r"[^a-z0-9.@]", "", name.lower())
    return ALIASES.get(key, key)


def _baseline(key: str) -> tuple[str, str]:
    for mark, title in BASELINES.items():
        if mark in key:
            rest = key.replace(mark, "")
            return title, ALIASES.get(rest, rest)
    return "", key


def _is_fraction(key: str, value: float) -> bool:
    return 0.0 <= value <= 1.0 and not any(word in key for word in NOT_FRACTIONS)


def _rounded(key: str, value: float) -> str:
    return percent(value) if _is_fraction(key, value) else number(value)


def _interval(key: str, ends: tuple[float, float]) -> str:
    low, high = ends
    if _is_fraction(key, low) and _is_fraction(key, high):
        return f"{100 * low:.1f}–{100 * high:.1f}\u202f%"
    return f"{number(low)}–{number(high)}"
