"""annotate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.batch import read_spread
from lookcloser.cli.terminal.interrupts import going_on_later
from lookcloser.cli.terminal.options import (
    BoxRuleOption,
    Columns,
    DecodingWorkers,
    Device,
    DryRun,
    Engine,
    Processes,
    RayAddress,
    to_disk,
)
from lookcloser.cli.terminal.runs import FAILED, SKIPPED, AnyRun, BatchSize
from lookcloser.core.wording import count


def annotate(
    run: AnyRun,
    data: Annotated[str, typer.Argument(help="A data set of any layout, or a folder of images.")],
    form: Annotated[
        str, typer.Option("--format", help="coco, voc, yolo, csv, labelstudio or cvat.")
    ] = "coco",
    out: Annotated[Path, typer.Option(help="The folder to write to.", callback=to_disk)] = Path(
        "annotations"
    ),
    masks: Annotated[
        str | None,
        typer.Option(help="Also write masks: polygons (not for voc and csv) or rle (coco)."),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="given (in the data), predicted, or auto: for each image the given labels that "
            "the model knows, else the predicted ones."
        ),
    ] = "auto",
    split: Annotated[str | None, typer.Option(help="Only this split; default: all.")] = None,
    columns: Columns = None,
    box_rule: BoxRuleOption = None,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out boxes with lower scores.")
    ] = 0.0,
    batch_size: BatchSize = 32,
    workers: DecodingWorkers = 0,
    device: Device = None,
    engine: Engine = None,
    processes: Processes = None,
    ray_address: RayAddress = None,
    dry_run: DryRun = False,
) -> None:
    """Turn labels into boxes: pseudo-boxes and masks for a whole folder or data set.

    If it was interrupted, the same command continues where it stopped.
    Example: `lookcloser annotate runs/birds birds/ --format coco --out birds-boxes`
    """
    from lookcloser.annotation import annotate as annotate_data
    from lookcloser.annotation.annotate import count_images
    from lookcloser.recognizer import load
    from lookcloser.runtime.onnx_file import is_onnx

    spread = read_spread(run, engine, processes, ray_address, device)
    recognizer = load(run, device=device, box_rule=box_rule)
    if dry_run:
        asked = count_images(
            recognizer.header,
            data,
            out,
            form=form,
            masks=masks,
            labels=labels,
            split=split,
            columns=columns,
        )
        printing.say_plan(f"annotate {count(asked, 'image')}", [out])
        return
    with going_on_later(), printing.progress("Annotating") as progress:
        found = annotate_data(
            recognizer.engine,
            data,
            out,
            form=form,
            masks=masks,
            labels=labels,
            split=split,
            columns=columns,
            min_score=min_score,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
            spread=spread,
        )
    for note in found.notes:
        printing.say(note)
    printing.say_skipped(found.skipped)
    kept = f"; {found.resumed} done before" if found.resumed else ""
    empty = f", {found.empty} without evidence" if found.empty else ""
    boxes, images = count(found.boxes, "box"), count(len(found.records), "image")
    printing.say(f"{boxes} on {images}{empty}{kept}")
    for path in found.files:
        printing.print_path(path)
    if found.skipped:
        printing.say(f"{count(len(found.skipped), 'image')} could not be read")
    seen = next(
        (record.source for record in found.records if record.things and record.source), None
    )
    if seen is not None and not is_onnx(run):
        printing.next_step("explain", run, seen)
    if found.skipped:
        raise typer.Exit(SKIPPED if len(found.skipped) < len(found.records) else FAILED)
