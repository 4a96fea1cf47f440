"""report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookcloser.cli import printing
from lookcloser.cli.answer import SKIPPED, THRESHOLD_FROM, Run, ScoredSplit, scored_split
from lookcloser.core.wording import count

if TYPE_CHECKING:
    from lookcloser.core import Evaluation


def report(
    run: Run,
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    split: ScoredSplit = None,
    out: Annotated[
        Path | None, typer.Option(help="The file; without it report.html in the run.")
    ] = None,
    threshold_from: Annotated[str, typer.Option(help=THRESHOLD_FROM)] = "val",
    audit: Annotated[
        bool, typer.Option("--audit", help="With a section on classes right for a wrong reason.")
    ] = False,
) -> None:
    """One self-contained HTML page: scores, mistakes, and the evidence behind each answer.

    Example: `lookcloser report runs/birds birds/`
    """
    from lookcloser.core.outputs import check_place
    from lookcloser.data import read_as_trained
    from lookcloser.recognizer import load_run

    if out is not None:
        check_place(out, "--out")
    recognizer = load_run(run)
    catalog = read_as_trained(data, recognizer.header)
    split = scored_split(catalog, split)
    page, evaluation = recognizer.report(
        catalog, split, out=out, threshold_from=threshold_from, audited=audit
    )
    printing.print_settings(evaluation.settings)
    typer.echo(page)
    printing.say(f"{count(len(evaluation.answers), 'image')}; open the page in a browser")
    if evaluation.skipped:
        unread = count(len(evaluation.skipped), "image")
        printing.say(f"{unread} could not be read; the page lists them")
    _say_next(evaluation, run, data)
    if evaluation.skipped:
        raise typer.Exit(SKIPPED)


def _say_next(evaluation: Evaluation, run: str, data: str) -> None:
    """What the task allows: an audit of classes, boxes of tags, pictures for captions."""
    if evaluation.task == "classification":
        printing.next_step("audit", run, data, "--split", evaluation.split)
    elif evaluation.task == "multilabel":
        printing.next_step("annotate", run, data, "--split", evaluation.split)
    else:
        image = evaluation.answers[0].prediction.path
        printing.next_step("predict", run, image, "--save", "evidence/")
