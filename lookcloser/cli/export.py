"""export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.answer import Run, known_data
from lookcloser.cli.terminal import printing


def export(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The .onnx file; without it model.onnx in the run.")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Compute in 8 bits: smaller and faster, a little off.")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Of --int8: a folder of images to take ranges from, not the run's data."),
    ] = None,
) -> None:
    """One .onnx file that answers without torch, with its evidence, checked against the run.

    Example: `lookcloser export runs/birds --out birds.onnx`, or
    `lookcloser export runs/birds --out birds.onnx --int8`
    """
    from lookcloser.recognizer import load_run

    printing.say("Exporting takes a minute")
    found = load_run(run).export(out, int8=int8, calibrate=calibrate)
    printing.say(f"Largest differences on {found.images}: {found.differences.text()}")
    if found.rows:
        printing.print_table(
            f"8 bits on {found.measured}, calibrated on {found.calibrated}",
            ["", "float32", "int8"],
            [row.texts() for row in found.rows],
        )
    typer.echo(found.path)
    printing.next_step("predict", found.path, known_data(run), "--save", "evidence/")
