"""audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import (
    LAST_SEED,
    Columns,
    Device,
    DryRun,
    LoadingWorkers,
    to_disk,
)
from lookcloser.cli.terminal.runs import (
    SKIPPED,
    BatchSize,
    Json,
    Run,
    ScoredSplit,
    columns_again,
    scored_split,
)
from lookcloser.core.results.audit import LEVELS
from lookcloser.core.wording import count

_SHOWN = 10


def audit(
    run: Run,
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    split: ScoredSplit = None,
    columns: Columns = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page; default: audit.html in the run.", callback=to_disk),
    ] = None,
    per_class: Annotated[
        int, typer.Option(min=8, help="At most this many images of each class.")
    ] = 50,
    seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="Seed of the choice of images.")
    ] = 0,
    json: Json = False,
    batch_size: BatchSize = 32,
    workers: LoadingWorkers = 0,
    device: Device = None,
    dry_run: DryRun = False,
) -> None:
    """Find classes that are right for the wrong reason: a watermark, a background, a frame.

    Example: `lookcloser audit runs/birds birds/`
    """
    from lookcloser.auditing import audited_samples
    from lookcloser.core.outputs import check_place
    from lookcloser.recognizer import load_run
    from lookcloser.recognizer.reporting import page_place
    from lookcloser.training.files import AUDIT_FILE

    if out is not None:
        check_place(out)
    recognizer = load_run(run, device=device)
    catalog = recognizer.catalog(data, columns=columns)
    split = scored_split(catalog, split)
    if dry_run:
        page = page_place(recognizer, out, AUDIT_FILE)
        chosen = audited_samples(recognizer.header, catalog, split, per_class, seed)
        printing.say_plan(f"audit {count(len(chosen), 'image')} of {split}", [page])
        return
    with printing.progress("Auditing") as progress:
        page, found = recognizer.audit_report(
            catalog,
            split,
            out=out,
            per_class=per_class,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    if json:
        printing.print_json(found.to_dict())
    else:
        names = ["class", "images", "suspicion", "same detail", "place carried", "border carried"]
        rows = [
            [one.name, str(one.images), f"{one.suspicion:.2f}"]
            + [f"{one.measures[name]:.2f}" for name in names[3:]]
            for one in found.classes[:_SHOWN]
        ]
        title = f"Most suspicious of {count(len(found.classes), 'class')}"
        printing.print_table(title, names, rows)
        printing.print_path(page)
    for one in found.classes:
        for reason in one.reasons:
            printing.say(f"{one.name} ({LEVELS[one.level]}): {reason}")
    if not found.flagged:
        printing.say("No class is flagged")
    printing.say_skipped(found.skipped)
    printing.say(f"Open {page} in a browser")
    printing.next_step("report", run, data, "--split", split, *columns_again(columns))
    if found.skipped:
        raise typer.Exit(SKIPPED)
