"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LAST_SEED = 2**32 - 1  # what every generator of random numbers takes
STDOUT = Path("-")  # what people write for it


def to_disk(path: Path | None) -> Path | None:
    """The callback of every option that names a file or folder of results: "-" is none.

    Raises:
        typer.BadParameter: For "-", which would become a file of that name.
    """
    if path == STDOUT:
        raise typer.BadParameter(
            "'-' is standard output, to which this is not written; give a name"
        )
    return path


Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1 or mps; default: a GPU if there is one."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check everything and say what would be done, without doing it."
    ),
]
LoadingWorkers = Annotated[int, typer.Option(min=0, help="Loading processes.")]
DecodingWorkers = Annotated[int, typer.Option(min=0, help="Threads that decode images.")]
Columns = Annotated[
    str | None,
    typer.Option(
        help="What the columns of a table are, e.g. image=filename,label=species; default: as in "
        "training, else by their names."
    ),
]
BoxRuleOption = Annotated[
    str | None,
    typer.Option(
        "--box-rule",
        help="What the threshold of a box is a share of: range (from a map's minimum to its "
        "maximum) or max (as in the CAM paper); default: as in training.",
    ),
]
_CLUSTER = "Cluster"
Engine = Annotated[
    str | None,
    typer.Option(help="plain or ray (Ray Data: a cluster).", rich_help_panel=_CLUSTER),
]
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes, each with a network of its own; default: 1, with Ray one for each core or "
        "GPU.",
        rich_help_panel=_CLUSTER,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="Address of a running Ray cluster, auto or HOST:6379; default: this machine.",
        rich_help_panel=_CLUSTER,
    ),
]
