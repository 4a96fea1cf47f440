"""The program: its verbs, its exit codes and how errors are said."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from lookcloser.cli import (
    add,
    annotate,
    answer,
    audit,
    data,
    demo,
    explain,
    export,
    imagine,
    info,
    methods,
    report,
    train,
)
from lookcloser.cli.answer import FAILED
from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.panels import PanelCommand
from lookcloser.core.errors import LookcloserError, UsageError, system_words
from lookcloser.version import __version__

app = typer.Typer(
    name="lookcloser",
    help="Train image recognizers from image-level labels, and see where they looked.",
    no_args_is_help=True,
    add_completion=True,
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
    """Train image recognizers from image-level labels, and see where they looked."""


app.command("demo")(demo.demo)
app.command("train", cls=PanelCommand)(train.train)
app.command("add")(add.add)
app.command("predict")(answer.predict)
app.command("evaluate")(answer.evaluate)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("annotate")(annotate.annotate)
app.command("audit")(audit.audit)
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.command("imagine")(imagine.imagine)
app.command("methods")(methods.methods)
app.command("info")(info.info)


def run() -> None:
    """Run the program.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with skips, 130 after Ctrl-C, 143 after
    SIGTERM.
    """
    # On busy machines OpenMP's spinning makes small networks several times slower; it must be set
    # before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Its C++ warns of what is chosen here, e.g. that unused weights are looked for.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # No process that is started from here looks for modules in the current folder: it may be data.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    printing.print_anything()
    try:
        app()
    except (LookcloserError, OSError, MemoryError, RuntimeError) as error:
        said = _said(error)
        if said is None or "--debug" in sys.argv:
            raise
        typer.secho(f"Error: {said}", fg="red", err=True)
        sys.exit(WRONG_USAGE if isinstance(error, UsageError) else FAILED)


def _said(error: Exception) -> str | None:
    """One line; what the operating system refused names the file, where it knows one.

    None for what is a fault of the program.
    """
    if isinstance(error, LookcloserError):
        return error.for_the_command_line()
    known = system_words(error)
    if known is not None:
        return f"{known}."
    if not isinstance(error, OSError):
        return None
    reason = error.strerror or str(error) or type(error).__name__
    line = f"{error.filename}: {reason}" if error.filename is not None else reason
    return f"{' '.join(str(line).split())}. --debug shows where."
