"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps; without it a GPU where there is one."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and say what would be done; no more.")
]
LoadingWorkers = Annotated[int, typer.Option(min=0, help="Loading processes.")]
DecodingWorkers = Annotated[int, typer.Option(min=0, help="Threads that decode images.")]
