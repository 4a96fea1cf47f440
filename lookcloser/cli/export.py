"""export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import to_disk
from lookcloser.cli.terminal.runs import Run, known_data
from lookcloser.core.errors import unknown
from lookcloser.recognizer.targets import TARGETS


def export(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file or web folder; default: model.onnx or web/ in the run.",
            callback=to_disk,
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Compute in 8 bits: smaller and faster, slightly less exact."),
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Images that --int8 takes its ranges from, instead of the run's data."),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", help=f"{'; '.join(f'{k}: {v.summary}' for k, v in TARGETS.items())}."
        ),
    ] = "onnx",
    ort: Annotated[
        str | None,
        typer.Option(help="For --format web: the folder of npm's onnxruntime-web, or cdn."),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            help="Weights of timm:NAME: pretrained, none, or a .safetensors file with timm's keys."
        ),
    ] = "pretrained",
) -> None:
    """Write one .onnx file that answers without torch, evidence included, checked against the run.

    Example: `lookcloser export runs/birds --out birds.onnx`, or
    `lookcloser export runs/birds --out birds.onnx --int8`, or
    `lookcloser export runs/birds --out page/ --format web --ort node_modules/onnxruntime-web`, or
    `lookcloser export timm:resnet50 --out resnet50.onnx`
    """
    if form not in TARGETS:  # before the libraries are loaded
        raise unknown(form, "format", TARGETS)

    from lookcloser.recognizer import load_run

    printing.say("Exporting takes a minute")
    found = load_run(run, weights=weights).export(
        out, int8=int8, calibrate=calibrate, form=form, ort=ort
    )
    printing.say(f"Largest differences on {found.images}: {found.differences.text()}")
    if found.differences.maps is None:
        printing.say(
            "The file holds no evidence: this network has no class maps, and its other views are "
            "gradients, which no file computes"
        )
    if found.rows:
        printing.print_table(
            f"8 bits on {found.measured}, calibrated on {found.calibrated}",
            ["", "float32", "int8"],
            [row.texts() for row in found.rows],
        )
    printing.print_path(found.path)
    if found.shown_by:
        printing.say(f"{found.size / 1e6:.0f} MB. To see it: {found.shown_by}")
    else:
        printing.next_step("predict", found.path, known_data(run), "--save", "evidence/")
