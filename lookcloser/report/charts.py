"""Geometry of the charts: numbers -> coordinates. The templates turn it into SVG.

Coordinates are pixels of the chart's own view box, y downwards. Nothing here knows colors, so that
the style sheet can give a chart its light and its dark look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lookcloser.report.scores import number, percent

PHASES = ("train", "val", "test")
X_KEYS = ("epoch", "step")
TITLES = {
    "acc": "Accuracy",
    "loss": "Loss",
    "lr": "Learning rate",
    "f1": "F1 of the sets",
    "exact": "Exact sets",
}


@dataclass(frozen=True)
class Frame:
    """The plotting area of a chart and the values at its edges."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int = 360
    height: int = 210
    left: int = 48
    right: int = 14
    top: int = 12
    bottom: int = 22

    def x(self, value: float) -> float:
        """Pixels from the left edge."""
        inner = self.width - self.left - self.right
        return round(self.left + inner * _share(value, self.x_range), 2)

    def y(self, value: float) -> float:
        """Pixels from the upper edge."""
        inner = self.height - self.top - self.bottom
        return round(self.top + inner * (1.0 - _share(value, self.y_range)), 2)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values that cover [low, high] in about ``count`` steps of 1, 2, 2.5 or 5 times 10^k."""
    if not high > low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.15g}") for index in range(first, last + 1)]


def learning_curves(history: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """One chart for each measure of the rows of ``history``.

    ``train_loss`` and ``val_loss`` share the chart "Loss"; a key without a phase has its own. The
    x axis is "epoch", else "step", else the number of the row. Missing and non-finite values are
    left out; so is a measure with a single value, which is no curve.
    """
    x_key = next((key for key in X_KEYS if any(key in row for row in history)), None)
    measures: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for index, row in enumerate(history):
        x = float(row.get(x_key, index)) if x_key else float(index)
        for key, value in row.items():
            if key not in X_KEYS and value is not None and math.isfinite(value):
                phase, measure = _split(key)
                measures.setdefault(measure, {}).setdefault(phase, []).append((x, float(value)))
    charts = []
    for measure, lines in measures.items():
        drawn = {phase: points for phase, points in lines.items() if len(points) > 1}
        if drawn:
            charts.append(_line_chart(TITLES.get(measure, measure), x_key or "row", drawn))
    return charts


def reliability(rows: Sequence[tuple[float, float, int]]) -> dict[str, Any] | None:
    """The reliability diagram of (mean confidence, accuracy, count) bins, with its ECE.

    The expected calibration error is the mean of |confidence - accuracy| weighted by count (Naeini
    et al., AAAI 2015). Returns None where there are no counts.
    """
    bins = [row for row in rows if row[2] > 0]
    total = sum(count for _, _, count in bins)
    if not total:
        return None
    frame = Frame((0.0, 1.0), (0.0, 1.0), width=320, height=300)
    most = max(count for _, _, count in bins)
    points = [
        {
            "x": frame.x(confidence),
            "y": frame.y(accuracy),
            "diagonal": frame.y(confidence),
            "radius": round(3.0 + 6.0 * math.sqrt(count / most), 2),
            "text": f"{percent(confidence)} confident, {percent(accuracy)} right, {number(count)}",
        }
        for confidence, accuracy, count in bins
    ]
    gap = sum((confidence - accuracy) * count for confidence, accuracy, count in bins) / total
    error = sum(abs(confidence - accuracy) * count for confidence, accuracy, count in bins) / total
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    chart = _axes(frame, ticks, ticks, "confidence", as_percent=True)
    return {**chart, "points": points, "ece": percent(error), "gap": gap, "error": error}


def iou_histogram(ious: Sequence[float], bins: int = 10) -> dict[str, Any] | None:
    """Bars of how many images have which IoU; None where no image has a true box."""
    if not ious:
        return None
    share = sum(iou >= 0.5 for iou in ious) / len(ious)
    chart = histogram(ious, bins, "IoU", "IoU", good=0.5)
    return {**chart, "share": percent(share), "count": number(len(ious))}


def histogram(
    values: Sequence[float], bins: int, x_name: str, what: str, good: float = 0.0
) -> dict[str, Any]:
    """Bars of how many of some values in [0, 1] lie in which of ``bins`` equal parts of it.

    Args:
        values: At least one.
        bins: How many bars.
        x_name: Of the axis.
        what: The value, before its range, in the text of a bar.
        good: Bars from here on stand out.
    """
    counts = [0] * bins
    for value in values:
        counts[min(int(value * bins), bins - 1)] += 1
    ticks = [tick for tick in nice_ticks(0.0, float(max(counts))) if tick.is_integer()]
    frame = Frame((0.0, 1.0), (0.0, ticks[-1]), width=420, height=230)
    digits = 1 if bins <= 10 else 2
    bars = [
        {
            "x": frame.x(index / bins) + 1,
            "y": frame.y(count),
            "width": round(frame.x((index + 1) / bins) - frame.x(index / bins) - 2, 2),
            "height": round(frame.y(0) - frame.y(count), 2),
            "text": f"{what} {index / bins:.{digits}f} – {(index + 1) / bins:.{digits}f}: "
            f"{number(count)}",
            "good": index >= bins * good,
        }
        for index, count in enumerate(counts)
    ]
    return {**_axes(frame, [0.0, 0.25, 0.5, 0.75, 1.0], ticks, x_name), "bars": bars}


def _line_chart(
    title: str, x_name: str, lines: Mapping[str, list[tuple[float, float]]]
) -> dict[str, Any]:
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    y_ticks = nice_ticks(min(ys), max(ys))
    frame = Frame((min(xs), max(xs)), (y_ticks[0], y_ticks[-1]))
    inside = [tick for tick in nice_ticks(min(xs), max(xs)) if min(xs) <= tick <= max(xs)]
    series = [
        {
            "name": phase,
            "style": phase if phase in PHASES else "only",
            "last": number(points[-1][1]),
            "line": " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in points),
            "end": (frame.x(points[-1][0]), frame.y(points[-1][1])),
        }
        for phase, points in sorted(lines.items(), key=_by_phase)
    ]
    return {**_axes(frame, inside, y_ticks, x_name), "title": title, "series": series}


def _axes(
    frame: Frame,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    x_name: str,
    *,
    as_percent: bool = False,
) -> dict[str, Any]:
    def text(value: float) -> str:
        return percent(value, 0) if as_percent else number(value)

    return {
        "frame": frame,
        "x_name": x_name,
        "x_ticks": [(frame.x(tick), text(tick)) for tick in x_ticks],
        "y_ticks": [(frame.y(tick), text(tick)) for tick in y_ticks],
    }


def _by_phase(line: tuple[str, object]) -> int:
    return PHASES.index(line[0]) if line[0] in PHASES else len(PHASES)


def _split(key: str) -> tuple[str, str]:
    """``"val_loss"`` -> ("val", "loss"); ``"lr"`` -> ("lr", "lr")."""
    phase, separator, measure = key.replace("/", "_").partition("_")
    return (phase, measure) if separator and phase in PHASES else (key, key)


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return (value - low) / (high - low) if high > low else 0.5
