"""add: more images, and new classes, for a model in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.options import Columns, to_disk
from lookcloser.cli.terminal.runs import SKIPPED, Run
from lookcloser.core.wording import count


def add(
    run: Run,
    folder: Annotated[str, typer.Argument(help="Class folders, or a data set of any layout.")],
    columns: Columns = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the model to this file and leave the run as it is.", callback=to_disk
        ),
    ] = None,
) -> None:
    """Add images to a closed-form model: new classes, or more of known ones.

    The old images are not needed. The result is the same as training on all of them.

    Example: `lookcloser add runs/birds new-birds/`
    """
    from lookcloser.recognizer import add as add_to

    added = add_to(run, folder, out=out, columns=columns)
    printing.say_skipped(added.skipped.items())
    parents = added.header.parents
    named = (f"{name} (in {parents[name]})" if name in parents else name for name in added.new)
    new = f", new: {', '.join(named)}" if added.new else ""
    again = f" ({added.again} more were known already)" if added.again else ""
    scores = ", ".join(f"{name} {value:z.4f}" for name, value in added.header.scores.items())
    printing.say(
        f"{count(added.images, 'image')} added{again}{new}; {count(added.total, 'image')} in all"
        + (f" ({scores})" if scores else "")
    )
    for name, known in added.alike:
        printing.say(f"{name} differs in case only from {known}, which the model knew: it is new")
    printing.next_step("predict", run if out is None else out, folder)
    if added.skipped:
        raise typer.Exit(SKIPPED)
