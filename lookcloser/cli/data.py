"""data check, methods."""

from __future__ import annotations

from typing import Annotated

import typer

from lookcloser.cli import printing

app = typer.Typer(no_args_is_help=True, help="Look at a data set.")


@app.callback()
def root() -> None:
    """Look at a data set."""


@app.command("check")
def check(
    data: Annotated[str, typer.Argument(help="A folder or table of images.")],
    decode: Annotated[bool, typer.Option(help="Decode every image.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """What was understood, and what is broken.

    Example: `lookcloser data check birds/`
    """
    from rich.console import Console
    from rich.progress import track

    from lookcloser.data import check_data, read_data

    catalog = read_data(data, skip_missing=True)
    steps = iter(
        track(
            range(len(catalog.samples)),
            "Reading images",
            console=Console(stderr=True),
            transient=True,
        )
    )
    report = check_data(catalog, decode=decode, progress=lambda _done, _total: next(steps, None))
    next(steps, None)
    if json:
        printing.print_json(report.to_dict())
    else:
        classes = {name for of in report.counts.values() for name in of}
        typer.echo(f"{report.root}: {report.layout}, {report.task}, {len(classes)} classes")
        rows = [[split, str(count)] for split, count in report.images.items()]
        printing.print_table("Images", ["split", "images"], rows)
        for note in report.notes:
            typer.echo(note)
        for problem in report.problems:
            typer.echo(f"{problem.severity}: {problem.text}")
        for name, reason in report.broken:
            typer.echo(f"broken: {name}: {reason}")
        if not report.problems:
            typer.echo("No problems found.")
    if any(problem.severity == "error" for problem in report.problems):
        raise typer.Exit(1)
    printing.next_step(f"lookcloser train {data}")


def methods(
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """What there is, for which task."""
    from lookcloser.models import MODELS

    if json:
        printing.print_json(
            [
                {"name": model.name, "tasks": list(model.tasks), "summary": model.summary}
                for model in MODELS
            ]
        )
        return
    rows = [[model.name, ", ".join(model.tasks), model.summary] for model in MODELS]
    printing.print_table("Methods", ["method", "task", "what it is"], rows)
    printing.next_step(f"lookcloser train DATA --method {MODELS[0].name}")
