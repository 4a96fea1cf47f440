"""report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli import printing
from lookcloser.cli.answer import SKIPPED, THRESHOLD_FROM, Run


def report(
    run: Run,
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
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
    from lookcloser.recognizer import load, write_run_report

    recognizer = load(run)
    page, evaluation = write_run_report(
        recognizer, data, split, out=out, threshold_from=threshold_from, audited=audit
    )
    printing.print_settings(evaluation.settings)
    printing.say(f"{page}: {len(evaluation.answers)} images; open it in a browser")
    if evaluation.skipped:
        printing.say(f"{len(evaluation.skipped)} images could not be read; the page lists them")
        raise typer.Exit(SKIPPED)
