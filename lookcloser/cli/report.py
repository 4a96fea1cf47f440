"""report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import (
    BoxRuleOption,
    Columns,
    Device,
    DryRun,
    LoadingWorkers,
    to_disk,
)
from lookcloser.cli.terminal.runs import (
    SKIPPED,
    THRESHOLD_FROM,
    BatchSize,
    Run,
    ScoredSplit,
    columns_again,
    scored_split,
)
from lookcloser.core.choices import TRAITS
from lookcloser.core.wording import count

if TYPE_CHECKING:
    from lookcloser.core import Evaluation
    from lookcloser.core.results.scores import Score


def report(
    run: Run,
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    split: ScoredSplit = None,
    columns: Columns = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file; default: report.html in the run.", callback=to_disk),
    ] = None,
    threshold_from: Annotated[str, typer.Option(help=THRESHOLD_FROM)] = "val",
    box_rule: BoxRuleOption = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit", help="Add a section on classes that are right for the wrong reason."
        ),
    ] = False,
    batch_size: BatchSize = 32,
    workers: LoadingWorkers = 0,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Write one self-contained HTML page: scores, mistakes, and the evidence behind each answer.

    Example: `lookcloser report runs/birds birds/`
    """
    from lookcloser.auditing import audited_samples
    from lookcloser.core.outputs import check_place
    from lookcloser.evaluation import check_scored, read_source
    from lookcloser.recognizer import load_run
    from lookcloser.recognizer.reporting import page_place
    from lookcloser.report.scores import KNOWN, TILES
    from lookcloser.training.files import REPORT_FILE

    read_source(threshold_from)
    if out is not None:
        check_place(out)
    recognizer = load_run(run, device=device, box_rule=box_rule)
    catalog = recognizer.catalog(data, columns=columns)
    split = scored_split(catalog, split)
    if dry_run:
        page = page_place(recognizer, out, REPORT_FILE)
        scored = check_scored(recognizer.header, catalog, split, threshold_from)
        if audit:
            audited_samples(recognizer.header, catalog, split)
        printing.say_plan(f"score {count(scored, 'image')} of {split}", [page])
        return
    with printing.progress("Evaluating") as progress:
        page, evaluation = recognizer.report(
            catalog,
            split,
            out=out,
            threshold_from=threshold_from,
            audited=audit,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    for score in evaluation.scores:
        if score.name in TILES:
            printing.say(f"{KNOWN[score.name][0]}: {_in_words(score)}")
    printing.print_settings(evaluation.settings)
    printing.print_path(page)
    printing.say(f"{count(len(evaluation.images.correct), 'image')}; open the page in a browser")
    if evaluation.skipped:
        unread = count(len(evaluation.skipped), "image")
        printing.say(f"{unread} could not be read; the page lists them")
    _say_next(evaluation, run, data, columns_again(columns))
    if evaluation.skipped:
        raise typer.Exit(SKIPPED)


def _in_words(score: Score) -> str:
    form = "{:.1%}" if score.is_share else "{:.4f}"
    interval = (
        "" if score.interval is None else f" ({' to '.join(map(form.format, score.interval))})"
    )
    return form.format(score.value) + interval


def _say_next(evaluation: Evaluation, run: str, data: str, more: Sequence[str]) -> None:
    """What task and data allow: an audit of classes, else boxes, and images for captions."""
    from lookcloser.auditing.run import FEWEST

    counts = [scores["count"] for scores in evaluation.per_class.values()]
    enough = sum(count >= FEWEST for count in counts) > 1
    if TRAITS[evaluation.task].labels == "one" and enough:
        printing.next_step("audit", run, data, "--split", evaluation.split, *more)
    elif TRAITS[evaluation.task].labels != "words":
        printing.next_step("annotate", run, data, "--split", evaluation.split, *more)
    else:
        image = evaluation.answers[0].prediction.path
        printing.next_step("predict", run, image, "--save", "evidence/")
