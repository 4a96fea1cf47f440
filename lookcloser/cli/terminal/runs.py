"""What verbs are told of a run and of its data, and what they end with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookcloser.cli.terminal import printing
from lookcloser.core.errors import LookcloserError
from lookcloser.core.wording import count

if TYPE_CHECKING:
    from lookcloser.data import Catalog

FAILED, SKIPPED = 1, 3


def existing(run: str | None) -> str | None:
    """A run that is there: said at once, as loading the libraries takes seconds."""
    from lookcloser.hub import is_hub, parse_address
    from lookcloser.recognizer.places import given_place

    if run is None or run.startswith("timm:"):
        return run
    if is_hub(run):
        parse_address(run)
        return run
    given_place(run)
    return run


Run = Annotated[
    str,
    typer.Argument(help="A run folder, a .safetensors file, or hub:OWNER/NAME.", callback=existing),
]
AnyRun = Annotated[
    str,
    typer.Argument(
        help="A run, a .safetensors or an exported .onnx file, or hub:OWNER/NAME.",
        callback=existing,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images per forward pass.")]
THRESHOLD_FROM = (
    "True boxes that choose where maps are cut: none (a fixed threshold), few:N (N images of val), "
    "val, or split (the scored one, optimistic)."
)

ScoredSplit = Annotated[
    str | None,
    typer.Option(help="train, val, test or all; default: test, else val, else what there is."),
]


def scored_split(catalog: Catalog, asked: str | None) -> str:
    """The split to score: as asked, else test, else the one that is there.

    What is not plain is said: another split than test, and one that the data does not bring along.
    """
    if asked is None and catalog.scored != "test":
        printing.say(f"No split 'test' in the data: taking '{catalog.scored}'")
    elif asked is None and "test" in catalog.made:
        chosen, every = len(catalog.split("test")), count(len(catalog.samples), "image")
        printing.say(
            f"No split in the data: taking '{catalog.scored}', {chosen:,} of {every} chosen by "
            "their names as in training; --split all takes every image"
        )
    return asked or catalog.scored


def columns_again(columns: str | None) -> list[str]:
    """The words that tell the next command of the columns, where this one was told."""
    return [] if columns is None else ["--columns", columns]


def known_data(run: str | Path) -> str:
    """The data set that a run was trained on; "DATA" where that is not known."""
    from lookcloser.core.storage.files import own_path
    from lookcloser.recognizer import read_config

    try:
        return read_config(own_path(run))[0]
    except LookcloserError:  # a single file of weights
        return "DATA"


def view_names(text: str, option: str) -> list[str]:
    """Views, separated by commas, as they are named; unknown ones are wrong usage."""
    from lookcloser.explain import VIEWS
    from lookcloser.inference.views import check_views

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise typer.BadParameter(f"{option} names no view. There are: {', '.join(VIEWS)}")
    check_views(names)
    return names
