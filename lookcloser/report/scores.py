"""Scores -> what a reader sees: a title, a rounded value, its interval, its baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lookcloser.core.results.scores import Score

# Name -> title and what it measures, most telling first.
KNOWN = {
    "top1": ("Top-1 accuracy", "best answer is the true class"),
    "top5": ("Top-5 accuracy", "true class among the best five"),
    "macro_f1": ("Macro F1", "mean F1 of the classes, each counts alike"),
    "mAP": ("mAP", "mean average precision of the labels"),
    "exact": ("Exact set", "every label right and none too many"),
    "C-F1": ("C-F1", "F1 of the mean precision and recall of the labels"),
    "O-F1": ("O-F1", "F1 over all labels of all images together"),
    "C-F1 macro": ("C-F1, macro", "mean F1 of the labels"),
    "C-P": ("C-P", "mean precision of the labels"),
    "C-R": ("C-R", "mean recall of the labels"),
    "O-P": ("O-P", "share of the labels answered that are true"),
    "O-R": ("O-R", "share of the true labels that are answered"),
    "exact caption": ("Exact caption", "every word is that of a reference"),
    "BLEU-4": ("BLEU-4", "overlap of four-word runs with the references"),
    "CIDEr-D": ("CIDEr-D", "agreement with the references, rare words count more"),
    "ROUGE-L": ("ROUGE-L", "longest common word sequence"),
    "top1_loc": ("Top-1 localization", "right class, and its box has IoU ≥ 0.5"),
    "top5_loc": ("Top-5 localization", "as top-1, for one of the best five"),
    "MaxBoxAcc@0.3": ("MaxBoxAcc @ 0.3", "box of the true class has IoU ≥ 0.3"),
    "MaxBoxAcc@0.5": ("MaxBoxAcc @ 0.5", "box of the true class has IoU ≥ 0.5"),
    "MaxBoxAcc@0.7": ("MaxBoxAcc @ 0.7", "box of the true class has IoU ≥ 0.7"),
    "MaxBoxAccV2": ("MaxBoxAccV2", "mean over IoU 0.3, 0.5 and 0.7"),
    "CorLoc": ("CorLoc", "one box has IoU ≥ 0.5, mean over the classes"),
    "PxAP": ("PxAP", "average precision of the pixels"),
    "pointing": ("Pointing game", "strongest place lies in a true box"),
    "shift overlap": ("Evidence shared", "evidence of a step in common with the step before"),
    "shift distance": ("Evidence moved", "from step to step, as a share of the diagonal"),
    "region size": ("Evidence size", "share of the image that it would fill if it were even"),
    "ece": ("Calibration error", "mean gap between confidence and accuracy"),
    "coverage@95%": ("Covered at 95 %", "the candidates hold the true class; promised: 95 %"),
    "set size@95%": ("Candidates at 95 %", "classes in such a set, on average"),
    "top1 group": ("Top-1 of groups", "most probable group is that of the true class"),
    "sure of a class": ("Sure of a class", "images where one class has half of the probability"),
    "top1 where sure": ("Right where sure", "such a class is the true one; promised: 50 %"),
    "rolled up": ("Rolled up", "images where no class is sure and a group is named"),
    "top1 rolled up": ("Right where rolled up", "the true class is in it; promised: 50 %"),
    "refused": ("Perhaps none of these", "images of these classes that are doubted; meant: 5 %"),
    "refused unlike": ("Unlike the training images", "by the distance of features; meant: 1 %"),
    "refused look-alike": ("Like no class it knows", "by the evidence for a class; meant: 4 %"),
}
TILES = frozenset(
    {"top1", "top5", "macro_f1", "mAP", "C-F1", "O-F1", "exact"}
    | {"exact caption", "BLEU-4", "CIDEr-D", "ROUGE-L", "MaxBoxAcc@0.5", "MaxBoxAccV2", "ece"}
)


@dataclass(frozen=True)
class Row:
    """One score, ready for the page; ``baselines`` maps their names to rounded values."""

    name: str
    title: str
    value: str
    note: str
    interval: str
    baselines: Mapping[str, str]
    compared: bool

    @classmethod
    def of(cls, score: Score) -> Row:
        """Rounded, with its title."""
        title, note = KNOWN.get(score.name, (score.name, ""))
        rounded = percent if score.is_share else _measured
        return cls(
            score.name,
            title,
            rounded(score.value),
            note,
            "" if score.interval is None else _interval(score.interval, score.is_share),
            {name: rounded(value) for name, value in score.baselines.items()},
            score.of_evidence and score.higher_is_better is not None,
        )


def score_rows(scores: Iterable[Score]) -> list[Row]:
    """Every score in the order of `KNOWN`, the others after it in their own order."""
    order = {name: place for place, name in enumerate(KNOWN)}
    return sorted(map(Row.of, scores), key=lambda row: order.get(row.name, len(order)))


def headline(rows: list[Row]) -> list[Row]:
    """The scores for the top of the page: those of `TILES`, or the first few where none is."""
    return [row for row in rows if row.name in TILES] or rows[:6]


def baseline_names(rows: list[Row]) -> list[str]:
    """The baselines that any of the rows has, in the order they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row.baselines))


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


def _interval(ends: tuple[float, float], is_share: bool) -> str:
    low, high = ends
    if is_share:
        return f"{100 * low:.1f}–{100 * high:.1f}\u202f%"
    return f"{_measured(low)}–{_measured(high)}"


def _measured(value: float) -> str:
    """A score to four decimals, as the terminal prints it: ``1.6e-11`` is 0."""
    return number(round(value, 4))
