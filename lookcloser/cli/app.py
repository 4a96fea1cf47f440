"""The program: its verbs, its exit codes and how errors are said."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from lookcloser.cli import annotate, answer, audit, data, demo, export, report, train
from lookcloser.cli.answer import FAILED
from lookcloser.core.errors import LookcloserError, UsageError
from lookcloser.version import __version__

app = typer.Typer(
    name="lookcloser",
    help="Train image recognisers from image-level labels, and see where they looked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

WRONG_USAGE = 2


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lookcloser {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[  # read by run before anything else
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train image recognisers from image-level labels, and see where they looked."""


app.command("demo")(demo.demo)
app.command("train")(train.train)
app.command("predict")(answer.predict)
app.command("evaluate")(answer.evaluate)
app.command("explain")(answer.explain)
app.command("report")(report.report)
app.command("annotate")(annotate.annotate)
app.command("audit")(audit.audit)
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.command("methods")(data.methods)


def run() -> None:
    """Run the program.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with skips, 130 after Ctrl-C.
    """
    # On busy machines OpenMP's spinning makes small networks several times slower; it must be set
    # before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except (LookcloserError, OSError, MemoryError) as error:
        if "--debug" in sys.argv:
            raise
        typer.secho(f"Error: {_said(error)}", fg="red", err=True)
        sys.exit(WRONG_USAGE if isinstance(error, UsageError) else FAILED)


def _said(error: Exception) -> str:
    """One line; what the operating system refused names the file, where it knows one."""
    if isinstance(error, LookcloserError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory. Try a smaller --batch-size or fewer --workers."
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    file = getattr(error, "filename", None)
    line = f"{file}: {reason}" if file is not None else reason
    return f"{' '.join(str(line).split())}. --debug shows where."
