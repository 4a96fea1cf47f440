"""One evaluation -> one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookcloser.core.choices import TRAITS
from lookcloser.core.drawing.colormaps import COLORMAPS
from lookcloser.core.results import galleries
from lookcloser.core.results.audit import Audit
from lookcloser.core.storage.atomic import write_text
from lookcloser.core.types import SUPERVISION, Evaluation, Sheet
from lookcloser.report import (
    audit_blocks,
    cards,
    charts,
    scores,
    shifts,
    sights,
    tables,
    words,
)
from lookcloser.report.sources import environment, gallery_colors, source
from lookcloser.version import __version__

STYLES = ("base.css", "report.css", "viewer.css", "gallery.css", "audit.css", "shifts.css")
SCRIPTS = ("heat.js", "viewer.js", "gallery.js", "page.js")
FIRST_CARDS = 10  # cards shown before "show all"


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    *,
    history: Sequence[Mapping[str, float]] = (),
    about: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    audit: Audit | None = None,
    sheets: Sequence[Sheet] = (),
    title: str = "Evaluation",
    max_images: int = galleries.MOST,
) -> Path:
    """Write the report of an evaluation as one self-contained HTML file.

    The file opens from disk and asks for nothing outside it; its content security policy forbids
    it. Sections whose material is missing are left out. The same input gives the same bytes.

    Args:
        path: The file to write; written atomically, folders made.
        evaluation: What was measured. Images are read again for their thumbnails; those that are
            gone leave a blank card.
        history: Rows of the training log, e.g. ``{"epoch": 0, "train_loss": 2.1, "val_acc": 0.4}``.
        about: Method, backbone, data, seed, versions, in the order to show them; ``"command"`` is
            the line that reproduces the run.
        data: What a check of the data found: plain values, lists, and tables as mappings of
            mappings.
        audit: Of the same model, for a section with its images and a gallery of the answers of
            flagged classes.
        sheets: Further sections of images.
        title: Heading of the page.
        max_images: Images in each gallery at most; one that is in several is stored once.

    Returns:
        ``path``.

    Raises:
        LookcloserError: If the file cannot be written.
    """
    context = _summary(evaluation, audit)
    context |= _galleries(evaluation, max_images, audit)
    context |= _tables(evaluation, data or {})
    context |= {
        "sheets": [sights.sheet_data(sheet) for sheet in sheets],
        "title": title,
        "version": __version__,
        "audited": audit_blocks.audit_blocks(audit) if audit else None,
        "curves": charts.learning_curves(history),
        "about": {key: value for key, value in (about or {}).items() if key != "command"},
        "command": (about or {}).get("command", ""),
    }
    path = Path(path)
    # A file name that is not valid UTF-8 must not cost the report.
    write_text(path, render(context).encode(errors="replace").decode())
    return path


def render(context: Mapping[str, Any]) -> str:
    """The page of a finished context; every string in it is escaped."""
    style, script = source(*STYLES), source(*SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = environment().get_template("report.html.j2")
    return template.render(**context, style=style, script=script, script_hash=f"sha256-{digest}")


def _summary(evaluation: Evaluation, audit: Audit | None) -> dict[str, Any]:
    rows = scores.score_rows(evaluation.scores)
    calibration = charts.reliability(evaluation.calibration)
    images = evaluation.images
    ious = images.ious[np.isfinite(images.ious)]
    return {
        "task": evaluation.task,
        "split": evaluation.split,
        "answered": len(images.correct),
        "classes": len(evaluation.names),
        "scores": rows,
        "headline": scores.headline(rows),
        "findings": words.findings(evaluation, rows, calibration)
        + (audit_blocks.verdict(audit) if audit else []),
        "calibration": calibration,
        "calibration_words": words.calibration_words(calibration, len(evaluation.images.correct))
        if calibration
        else "",
        "localization": [row for row in rows if row.compared],
        "baselines": scores.baseline_names(rows),
        "supervision": evaluation.settings.get(SUPERVISION, ""),
        "shifts": shifts.shifts(evaluation),
        "ious": charts.iou_histogram(ious.tolist()),
        "settings": evaluation.settings,
        "limits": words.LIMITS,
        "map_sizes": words.map_sizes(evaluation),
        "looked_into": words.looked_into(evaluation),
    }


def _galleries(evaluation: Evaluation, limit: int, audit: Audit | None) -> dict[str, Any]:
    flagged = audit.flagged if audit else ()
    chosen = galleries.choose(
        evaluation.answers, limit, flagged=flagged, numbers=evaluation.images.numbers
    )
    members = list(dict.fromkeys(index for gallery in chosen for index in gallery.members))
    shown = [evaluation.answers[index] for index in members]
    regions = [region for answer in shown for region in answer.prediction.regions]
    drawn = {str(index): cards.card_data(evaluation.answers[index]) for index in members}
    return {
        "galleries": chosen,
        "cards": [cards.card_text(evaluation.answers[index], index) for index in members],
        "first_cards": FIRST_CARDS,
        "has_maps": any(region.heatmap is not None for region in regions),
        "has_true_boxes": any(answer.boxes for answer in shown),
        "has_boxes": any(region.box is not None for region in regions),
        "has_rivals": TRAITS[evaluation.task].labels == "one"
        and any(card["true"] for card in drawn.values()),
        "colormaps": COLORMAPS,
        "page_data": {
            "cards": drawn,
            "galleries": {gallery.key: gallery.members for gallery in chosen},
            "colormaps": {name: gallery_colors(name) for name in COLORMAPS},
            **tables.confusion_data(evaluation),
        },
    }


def _tables(evaluation: Evaluation, data: Mapping[str, Any]) -> dict[str, Any]:
    columns = tables.class_columns(evaluation.per_class)
    return {
        "confusion_table": tables.confusion_table(evaluation),
        "confused": tables.confused_pairs(evaluation),
        "has_confusion": evaluation.confusion is not None,
        "names": evaluation.names,
        "class_columns": columns,
        "class_rows": [
            (name, [tables.class_cell(column, row.get(column)) for column in columns])
            for name, row in evaluation.per_class.items()
        ],
        "neighbors": tables.neighbor_rows(evaluation),
        "facts": tables.data_facts(evaluation),
        "skipped": tables.skipped_list(evaluation),
        "audit": tables.audit(data),
    }
