"""add: more images, and new classes, for a model in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.answer import SKIPPED, Run
from lookcloser.cli.terminal import printing
from lookcloser.core.wording import count


def add(
    run: Run,
    folder: Annotated[str, typer.Argument(help="Class folders, or a data set of any layout.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the model here instead of into the run.")
    ] = None,
) -> None:
    """Add images to a model in closed form: new classes, or more of known ones.

    The images it has learned from are not needed; the result is that of training with all of them.

    Example: `lookcloser add runs/birds new-birds/`
    """
    from lookcloser.recognizer import add as add_to

    added = add_to(run, folder, out=out)
    printing.say_skipped(added.skipped.items())
    new = f", new: {', '.join(added.new)}" if added.new else ""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in added.header.scores.items())
    printing.say(
        f"{count(added.images, 'image')} added{new}; {count(added.total, 'image')} in all"
        + (f" ({scores})" if scores else "")
    )
    printing.next_step("predict", run if out is None else out, folder)
    if added.skipped:
        raise typer.Exit(SKIPPED)
