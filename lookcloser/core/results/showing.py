"""Answers and evaluations in a line, as rows, as JSON and in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lookcloser.core.results.scores import json_key
from lookcloser.core.wording import count

if TYPE_CHECKING:
    from lookcloser.core.results.scores import Score
    from lookcloser.core.types import Evaluation, Prediction, Region

_LABELS_SHOWN = 3
_SCORES_SHOWN = 4
ROW_NAMES = (
    *("path", "rank", "label", "score", "x0", "y0", "x1", "y1", "error"),
    *("candidate", "refusal", "group", "group_score"),
)


def answer_line(prediction: Prediction) -> str:
    """What was answered, e.g. "robin 93.1%, wren 4.0%"; all labels, in their order."""
    if prediction.caption is not None:
        return prediction.caption
    ranked = ", ".join(f"{label.name} {label.score:.1%}" for label in prediction.answered)
    return ranked or "no label"


def doubts(prediction: Prediction, most: int | None = None) -> list[str]:
    """What the answer does not know, in words: other classes, a surer group, perhaps none.

    Args:
        prediction: The answer.
        most: How many candidates are named; None names all.
    """
    said = []
    if prediction.candidates is not None:
        shown = prediction.candidates[:most]
        names = ", ".join(label.name for label in shown) or "none of them"
        left = len(prediction.candidates) - len(shown)
        more = f" and {left} more" if left else ""
        said.append(f"at {prediction.coverage:.0%} coverage: {names}{more}")
    if prediction.group is not None:
        said.append(f"surer of the group {prediction.group.name} ({prediction.group.score:.0%})")
    if prediction.refusal is not None:
        said.append(f"perhaps none of these: {prediction.refusal}")
    return said


def region_repr(region: Region) -> str:
    """Without the values of the map."""
    parts = [region.kind, f"{region.label!r} {region.score:.1%}"]
    if region.step is not None:
        parts[0] += f" {region.step + 1}"
    if region.box is not None:
        parts.append("box " + ", ".join(f"{value:g}" for value in region.box))
    if region.heatmap is not None:
        height, width = region.heatmap.shape
        parts.append(f"map {width}×{height}")
    return f"Region({', '.join(parts)})"


def prediction_repr(prediction: Prediction) -> str:
    """The image and the best labels."""
    if prediction.error is not None:
        return f"Prediction(failed: {prediction.error})"
    name = "" if prediction.path is None else f"{prediction.path}: "
    if prediction.caption is not None:
        said = repr(prediction.caption)
    else:
        shown = prediction.answered[:_LABELS_SHOWN]
        said = ", ".join(f"{label.name} {label.score:.1%}" for label in shown) or "no label"
        more = len(prediction.labels) - len(shown)
        said += f" and {more} more" if more else ""
    return f"Prediction({name}{said}; {count(len(prediction.regions), 'region')})"


def evaluation_repr(evaluation: Evaluation) -> str:
    """The split and the first scores."""
    shown = [f"{score.name} {score.value:.4g}" for score in evaluation.scores[:_SCORES_SHOWN]]
    more = len(evaluation.scores) - len(shown)
    images = count(len(evaluation.images.correct), "image")
    said = ", ".join([*shown, *([f"{more} more"] if more else [])]) or "no scores"
    return f"Evaluation({evaluation.task}, {images} of {evaluation.split}: {said})"


def evaluation_html(evaluation: Evaluation) -> str:
    """Tables for a notebook; every string is escaped."""
    bases = list(dict.fromkeys(base for score in evaluation.scores for base in score.baselines))
    rows = [_score_cells(score, bases) for score in evaluation.scores]
    title = f"{count(len(evaluation.images.correct), 'image')} of {evaluation.split}"
    tables = [_table(title, ["score", "value", "95 % interval", *bases], rows)]
    for kind, table in evaluation.shifts.tables.items():
        columns = list(dict.fromkeys(name for row in table.values() for name in row))
        cells = [
            [str(number), *(_number(row.get(name, math.nan)) for name in columns)]
            for number, row in table.items()
        ]
        tables.append(_table(f"How the evidence moves, by {kind}", [kind, *columns], cells))
    return "".join(tables)


def evaluation_dict(evaluation: Evaluation) -> dict[str, Any]:
    """See `Evaluation.to_dict`."""
    images = evaluation.images
    confusion = evaluation.confusion
    return {
        "task": evaluation.task,
        "split": evaluation.split,
        "images": len(images.correct),
        **_known({json_key(name): value for name, value in evaluation.metrics.items()}),
        "intervals": {
            json_key(score.name): list(score.interval)
            for score in evaluation.scores
            if score.interval is not None
        },
        "per_class": {
            name: _known({json_key(key): value for key, value in row.items()})
            for name, row in evaluation.per_class.items()
        },
        "classes": list(evaluation.names),
        "confusion": None if confusion is None else confusion.tolist(),
        "settings": {json_key(name): text for name, text in evaluation.settings.items()},
        "skipped": [{"path": path, "reason": why} for path, why in evaluation.skipped],
    }


def prediction_rows(prediction: Prediction) -> list[dict[str, Any]]:
    """See `Prediction.to_rows`."""
    path = None if prediction.path is None else str(prediction.path)
    empty: dict[str, Any] = {**dict.fromkeys(ROW_NAMES), "path": path, "error": prediction.error}
    if prediction.caption is not None:
        return [{**empty, "rank": 1, "label": prediction.caption}]
    empty["refusal"] = prediction.refusal
    if prediction.group is not None:
        empty |= {"group": prediction.group.name, "group_score": prediction.group.score}
    boxes = {
        region.label: region.box
        for region in prediction.regions
        if region.kind in {"map", "step"} and region.box is not None
    }
    labels, candidates = list(prediction.answered), prediction.candidates
    # Both are the best of one ranking; a set may be the longer one.
    labels += (candidates or ())[len(labels) :]
    rows = []
    for rank, label in enumerate(labels, 1):
        corners = dict(zip(("x0", "y0", "x1", "y1"), boxes.get(label.name, ()), strict=False))
        row = {**empty, "rank": rank, "label": label.name, "score": label.score, **corners}
        if candidates is not None:
            row["candidate"] = rank <= len(candidates)
        rows.append(row)
    return rows or [empty]


def _score_cells(score: Score, bases: Iterable[str]) -> list[str]:
    interval = "" if score.interval is None else " … ".join(map(_number, score.interval))
    guesses = [_number(score.baselines.get(base, math.nan)) for base in bases]
    return [score.name, _number(score.value), interval, *guesses]


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    from html import escape  # for notebooks alone

    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else ""


def _known(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
