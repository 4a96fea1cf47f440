"""push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import DryRun, to_disk
from lookcloser.cli.terminal.runs import Run


def push(
    run: Run,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Where to push; created if missing.")
    ],
    license: Annotated[
        str | None,
        typer.Option(help="An identifier of the hub, e.g. apache-2.0; default: unknown."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(help="What to score it on; default: the run's data.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which split of it; default: test, else val.")
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="Image that the card shows with evidence; default: one of those scored."),
    ] = None,
    no_image: Annotated[bool, typer.Option("--no-image", help="Show no image.")] = False,
    dry_run: DryRun = False,
    out: Annotated[
        Path | None,
        typer.Option(help="With --dry-run: write the files into this folder.", callback=to_disk),
    ] = None,
) -> None:
    """Send a model to the Hugging Face hub, with a model card written from the run.

    The token is that of `hf auth login`, or HF_TOKEN. --dry-run prints the card and sends nothing.

    Example: `lookcloser push runs/birds me/birds --license apache-2.0`, or
    `lookcloser push runs/birds me/birds --dry-run`
    """
    from lookcloser.core.errors import UsageError
    from lookcloser.hub import check_repository
    from lookcloser.recognizer import load_run

    check_repository(repository)
    if no_image and image is not None:
        raise UsageError("--image and --no-image", fix="Give one of them")
    with printing.progress("Scoring") as progress:
        found = load_run(run).push(
            repository,
            data=data,
            split=split,
            image=False if no_image else image,
            license=license,
            private=private,
            dry_run=dry_run,
            out=out,
            progress=progress,
        )
    printing.say(f"Scores of {found.scored}")
    if found.shown is not None:
        printing.say(f"The card shows {found.shown}" + ("" if private else ", for all to see"))
    if dry_run:
        typer.echo(found.card)
        printing.say(f"Would send {', '.join(found.files)} to {repository}")
        words = ["--license", license] if license else []
        printing.next_step("push", run, repository, *words, *(["--private"] if private else []))
        return
    typer.echo(found.url)
    printing.next_step("predict", f"hub:{repository}", "photos/", "--save", "evidence/")
