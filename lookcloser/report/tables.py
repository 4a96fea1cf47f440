"""Confusion, classes, and what is known about the data, as rows for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from lookcloser.core.types import Evaluation
from lookcloser.report.scores import number, percent

FULL_CONFUSION = 30  # classes; beyond it cells are drawn, not printed
PAIRS = 15
LISTED = 50  # entries of one list, e.g. of skipped files


def confusion_cells(evaluation: Evaluation) -> list[tuple[int, int, int]]:
    """(true, predicted, count) of every non-zero cell, row by row."""
    if evaluation.confusion is None:
        return []
    rows, columns = np.nonzero(evaluation.confusion)
    counts = evaluation.confusion[rows, columns]
    return list(zip(rows.tolist(), columns.tolist(), counts.tolist(), strict=True))


def confused_pairs(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The most frequent mistakes, with their share of the true class's images."""
    if evaluation.confusion is None:
        return []
    totals = evaluation.confusion.sum(axis=1)
    mistakes = [cell for cell in confusion_cells(evaluation) if cell[0] != cell[1]]
    mistakes.sort(key=lambda cell: (-cell[2], -cell[2] / totals[cell[0]], cell[:2]))
    return [
        {
            "true": evaluation.names[true],
            "predicted": evaluation.names[predicted],
            "count": count,
            "share": count / int(totals[true]),
        }
        for true, predicted, count in mistakes[:PAIRS]
    ]


def confusion_table(evaluation: Evaluation) -> list[list[dict[str, Any]]] | None:
    """Rows of cells with count and share of the row; None where there are too many classes."""
    matrix = evaluation.confusion
    if matrix is None or len(matrix) > FULL_CONFUSION:
        return None
    totals = np.maximum(matrix.sum(axis=1), 1)
    return [
        [
            {"count": int(count), "share": round(float(count / total), 3), "hit": row == column}
            for column, count in enumerate(counts)
        ]
        for row, (counts, total) in enumerate(zip(matrix, totals, strict=True))
    ]


def neighbor_rows(evaluation: Evaluation) -> list[tuple[str, list[tuple[str, str]]]]:
    """(label, [(neighbor, cosine)]) for each label that has neighbors."""
    return [
        (name, [(other, f"{cosine:.2f}") for other, cosine in near])
        for name, near in evaluation.neighbors.items()
        if near
    ]


def class_columns(per_class: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The measures that any class has, in the order they first appear."""
    return list(dict.fromkeys(key for row in per_class.values() for key in row))


def class_cell(column: str, value: float | None) -> dict[str, Any]:
    """One cell: the text, the value to sort by, and the share that its bar shows."""
    if value is None or not np.isfinite(value):
        return {"text": "–", "value": -1, "share": None}
    if column == "count":
        return {"text": number(value), "value": value, "share": None}
    share = min(max(value, 0.0), 1.0)
    return {"text": percent(value), "value": round(value, 6), "share": round(share, 4)}


def data_facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What the evaluation itself knows about its images."""
    images = evaluation.images
    facts = [("images answered", number(len(images.correct)))]
    if evaluation.skipped:
        facts.append(("images skipped", number(len(evaluation.skipped))))
    if evaluation.names:
        facts.append(("classes", number(len(evaluation.names))))
    counts = [row["count"] for row in evaluation.per_class.values() if "count" in row]
    if counts:
        spread = " / ".join(number(f(counts)) for f in (min, median, max))
        facts.append(("images a class (min / median / max)", spread))
    if images.boxed:
        facts.append(("images with true boxes", number(images.boxed)))
    return facts


def confusion_data(evaluation: Evaluation) -> dict[str, Any]:
    """What the page draws where there are too many classes for a printed table."""
    if evaluation.confusion is None or len(evaluation.confusion) <= FULL_CONFUSION:
        return {}
    return {"names": evaluation.names, "confusion": confusion_cells(evaluation)}


def audit(data: Mapping[str, Any]) -> dict[str, list[Any]]:
    """``data`` sorted by shape: ``facts`` (name, text), ``tables`` and ``lists``.

    A value that is a mapping of mappings becomes a table (rows by name), a mapping of plain values
    a table of one column, a sequence a list of at most `LISTED` entries, anything else a fact.
    """
    facts: list[tuple[str, str]] = []
    tables: list[dict[str, Any]] = []
    lists: list[dict[str, Any]] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            tables.append(_table(name, value))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lists.append(_list(name, [_text(entry) for entry in value]))
        else:
            facts.append((name, _text(value)))
    return {"facts": facts, "tables": tables, "lists": lists}


def skipped_list(evaluation: Evaluation) -> dict[str, Any] | None:
    """Unreadable images with their reasons, or None."""
    if not evaluation.skipped:
        return None
    return _list("skipped images", [f"{path}: {why}" for path, why in evaluation.skipped])


def _table(name: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        key: dict(row) if isinstance(row, Mapping) else {"": row} for key, row in rows.items()
    }
    columns = list(dict.fromkeys(column for row in nested.values() for column in row))
    return {
        "name": name,
        "columns": columns,
        "rows": [
            (key, [_text(row[column]) if column in row else "" for column in columns])
            for key, row in nested.items()
        ],
    }


def _list(name: str, entries: list[str]) -> dict[str, Any]:
    return {"name": name, "entries": entries[:LISTED], "more": max(0, len(entries) - LISTED)}


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return number(value)
