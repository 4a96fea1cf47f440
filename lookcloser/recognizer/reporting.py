"""From a model and a data set to the HTML page."""

from __future__ import annotations

import csv
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.core.results import galleries
from lookcloser.core.results.audit import Audit
from lookcloser.core.storage.files import own_path
from lookcloser.core.types import Evaluation, Prediction, Sheet, Sight
from lookcloser.data import Catalog, check_data, read_to_score
from lookcloser.evaluation import evaluate_data
from lookcloser.inference.derivatives import VIEW
from lookcloser.report import write_audit, write_report
from lookcloser.training.files import AUDIT_FILE, HISTORY_FILE, REPORT_FILE
from lookcloser.training.folder import read_command
from lookcloser.version import __version__

if TYPE_CHECKING:
    from lookcloser.recognizer.recognizer import Recognizer

MOST_SIGHTS = 4  # images whose derivatives are taken for a report
MOVES_NOTE = (
    "The derivative map: the squared norm of a derivative at each pixel, averaged over small "
    "squares. The brighter a place, the more a change there would change what is derived. The "
    "arrows show which way each box would move, and the numbers are that move as a vector of "
    "length 1: its middle (t_x, t_y) and its half-side (t_l). Of the score, the map pulls the box "
    "to where it is bright, and the constant of the authors' release pulls its sides inwards. Of "
    "the ranking loss, which trains the boxes, it is the loss's own gradient at the box: where "
    "the finer scale would be surer of the class than the coarser one."
)
CURVES = ("epoch", "train_loss", "val_loss", "val_acc", "val_f1", "val_exact", "lr")


class ReportPage(NamedTuple):
    """A report that was written.

    Attributes:
        path: The HTML file.
        evaluation: What was measured.
    """

    path: Path
    evaluation: Evaluation


class AuditPage(NamedTuple):
    """An audit that was written.

    Attributes:
        path: The HTML file.
        audit: What was found.
    """

    path: Path
    audit: Audit


def write_report_page(
    recognizer: Recognizer,
    data: str | Path | Catalog,
    split: str,
    *,
    out: str | Path | None,
    audited: bool | Audit,
    **options: Any,
) -> ReportPage:
    """See `Recognizer.report`."""
    out = page_place(recognizer, out, REPORT_FILE)
    catalog = data if isinstance(data, Catalog) else read_to_score(data, recognizer.header)
    # First, as data that cannot be audited should cost no evaluation.
    progress = options.get("progress")
    found = (
        recognizer.audit(catalog, split, progress=progress) if audited is True else audited or None
    )
    evaluation = evaluate_data(
        recognizer.trained_engine(),
        recognizer.catalog(catalog),
        split,
        evidence=galleries.MOST,
        flagged=found.flagged if found else (),
        **options,
    )
    page = write_report(
        out,
        evaluation,
        history=_history(recognizer.folder),
        about=_about(recognizer, catalog),
        data=_audit(catalog),
        audit=found,
        sheets=_derivatives(recognizer, evaluation),
        title=f"{catalog.title}: {recognizer.header.method}",
    )
    return ReportPage(page, evaluation)


def write_audit_page(
    recognizer: Recognizer,
    data: str | Path | Catalog,
    split: str,
    *,
    out: str | Path | None,
    **options: Any,
) -> AuditPage:
    """See `Recognizer.audit_report`."""
    out = page_place(recognizer, out, AUDIT_FILE)
    catalog = data if isinstance(data, Catalog) else read_to_score(data, recognizer.header)
    found = recognizer.audit(catalog, split, **options)
    about = {key: text for key, text in _about(recognizer, catalog).items() if key != "command"}
    title = f"{catalog.title}: is {recognizer.header.method} right for the right reasons?"
    return AuditPage(write_audit(out, found, about=about, title=title), found)


def page_place(recognizer: Recognizer, out: str | Path | None, name: str) -> Path:
    """Where a page goes: the file that was asked for, or the one of that name in the run.

    Raises:
        LookcloserError: For a model from a single file, without a file asked for.
    """
    if out is not None:
        return own_path(out)
    if recognizer.folder is None:
        raise UsageError(
            f"No place for {name}: this model is a single file", fix=f"Name the page: --out {name}"
        )
    return recognizer.folder / name


def _history(folder: Path | None) -> list[dict[str, float]]:
    file = folder / HISTORY_FILE if folder else None
    if file is None or not file.is_file():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return [
                {name: float(row[name]) for name in CURVES if row.get(name)}
                for row in csv.DictReader(lines)
            ]
    except (OSError, ValueError, csv.Error):  # somebody has edited it; the report is of the model
        return []


def _about(recognizer: Recognizer, catalog: Catalog) -> dict[str, str]:
    header = recognizer.header
    height, width = header.preprocessing.size
    place = catalog.title if catalog.root == Path() else catalog.root
    about = {
        "method": header.method,
        "backbone": str(header.arguments.get("backbone", "")),
        "first weights": str(header.provenance.get("weights", "")),
        "recipe": str(header.provenance.get("recipe", "")),
        "why this recipe": str(header.provenance.get("why this recipe", "")),
        "second look": str(header.provenance.get("zoom", "")),
        "seed": str(header.provenance.get("seed", "")),
        "input": f"{width} × {height} px",
        "data": f"{place} ({catalog.layout})",
        "versions": f"lookcloser {__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
        "command": read_command(recognizer.folder) if recognizer.folder else "",
    }
    return {name: value for name, value in about.items() if value}


def _derivatives(recognizer: Recognizer, evaluation: Evaluation) -> tuple[Sheet, ...]:
    """Where the derivatives of some answers would move their boxes; none for answers without."""
    chosen = galleries.choose(evaluation.answers, MOST_SIGHTS, numbers=evaluation.images.numbers)
    # The first of each gallery, then the second: of the mistakes as well as of what is right.
    turns = zip_longest(*(gallery.members for gallery in chosen))
    shown = dict.fromkeys(index for turn in turns for index in turn if index is not None)
    answers = (evaluation.answers[index].prediction for index in shown)
    looked = (a for a in answers if any(region.kind == "scale" for region in a.regions))
    sights = tuple(islice(_sights(recognizer, looked), MOST_SIGHTS))
    return (Sheet("What would move the boxes", MOVES_NOTE, sights),) if sights else ()


def _sights(recognizer: Recognizer, predictions: Iterable[Prediction]) -> Iterator[Sight]:
    for prediction in predictions:
        source: Any = prediction.path or prediction.image
        with suppress(LookcloserError):  # an image that is gone since
            views = recognizer.explain(source, [VIEW], target=prediction.labels[0].name)
            del views[VIEW]  # in the others too, where it can be seen
            yield Sight(prediction, views)


def _audit(catalog: Catalog) -> dict[str, Any]:
    """What can be said of the data without decoding every image again."""
    found = check_data(catalog, decode=False)
    audit: dict[str, Any] = {
        "layout": found.layout,
        "images": {split: {"images": count} for split, count in found.images.items()},
        "problems": [f"{problem.severity}: {problem.text}" for problem in found.problems],
        "notes": list(found.notes),
    }
    if found.tags is not None:
        of_split = found.counts
        audit["tags"] = {
            name: {"images": count, **{split: of[name] for split, of in of_split.items()}}
            for name, count in found.tags.images.items()
        }
        audit["tags that occur together"] = {
            f"{pair.first} → {pair.second}": {
                "images": pair.images,
                "P(second | first)": round(pair.second_given_first, 3),
                "P(first | second)": round(pair.first_given_second, 3),
                "lift": round(pair.lift, 2),
            }
            for pair in found.tags.pairs
        }
    if found.captions is not None:
        words = found.captions
        audit["captions"] = (
            f"{words.captions}, {words.per_image[1]:.1f} for an image, {words.words[1]:.1f} words "
            f"long; {words.vocabulary} different words, {words.rare} of them rare"
        )
    return {name: value for name, value in audit.items() if value}
