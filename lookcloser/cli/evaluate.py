"""evaluate."""

from __future__ import annotations

from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.batch import read_spread
from lookcloser.cli.terminal.options import (
    BoxRuleOption,
    Columns,
    Device,
    DryRun,
    Engine,
    LoadingWorkers,
    Processes,
    RayAddress,
)
from lookcloser.cli.terminal.runs import (
    SKIPPED,
    THRESHOLD_FROM,
    BatchSize,
    Json,
    Run,
    ScoredSplit,
    columns_again,
    scored_split,
    view_names,
)
from lookcloser.core.wording import count


def evaluate(
    run: Run,
    data: Annotated[str, typer.Argument(help="A data set of any layout.")],
    split: ScoredSplit = None,
    columns: Columns = None,
    threshold_from: Annotated[str, typer.Option(help=THRESHOLD_FROM)] = "val",
    views: Annotated[
        str | None,
        typer.Option(
            help="Also rate these views (separated by commas, or all): whether they point at what "
            "the answers depend on, and depend on the weights."
        ),
    ] = None,
    view_images: Annotated[
        int, typer.Option(min=1, help="How many images of the split --views uses.")
    ] = 24,
    json: Json = False,
    box_rule: BoxRuleOption = None,
    batch_size: BatchSize = 32,
    workers: LoadingWorkers = 0,
    device: Device = None,
    engine: Engine = None,
    processes: Processes = None,
    ray_address: RayAddress = None,
    dry_run: DryRun = False,
) -> None:
    """Score a model on a split: its answers and, where the data has boxes, its evidence.

    Example: `lookcloser evaluate runs/birds birds/ --split test`, or
    `lookcloser evaluate runs/birds birds/ --views cam,gradcam`
    """
    from PIL import Image

    from lookcloser.evaluation import check_scored, read_source
    from lookcloser.recognizer import load_run

    named = None if views is None else view_names(views, "--views")
    read_source(threshold_from)
    spread = read_spread(run, engine, processes, ray_address, device)
    recognizer, rated = load_run(run, device=device, box_rule=box_rule), {}
    catalog = recognizer.catalog(data, columns=columns)
    split = scored_split(catalog, split)
    if dry_run:
        scored = check_scored(recognizer.header, catalog, split, threshold_from)
        if named is not None:
            recognizer.explain(Image.new("RGB", (8, 8)), named)
        printing.say_plan(f"score {count(scored, 'image')} of {split}")
        return
    if named is not None:  # first, as it knows at once which of them the network lacks
        printing.say(f"rating views on up to {count(view_images, 'image')}")
        rated = recognizer.rate_views(
            catalog, split, named, images=view_images, batch_size=batch_size
        )
    with printing.progress("Evaluating") as progress:
        result = recognizer.evaluation(
            catalog,
            split,
            threshold_from=threshold_from,
            evidence=0,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
            spread=spread,
        )
    if json:
        each = {name: scores._asdict() for name, scores in rated.items()}
        printing.print_json({**result.to_dict(), **({"views": each} if rated else {})})
    else:
        printing.print_scores(
            f"{run} on {split} of {data}: {count(len(result.images.correct), 'image')}",
            result.scores,
            result.shifts,
        )
        printing.print_views(rated)
    printing.print_settings(result.settings)
    printing.say_skipped(result.skipped)
    printing.next_step("report", run, data, "--split", split, *columns_again(columns))
    if result.skipped:
        raise typer.Exit(SKIPPED)
