"""The program: its verbs, its exit codes and how errors are said."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import Annotated, Any

import typer

from lookcloser.cli import (
    add,
    annotate,
    audit,
    data,
    demo,
    evaluate,
    explain,
    export,
    imagine,
    info,
    methods,
    predict,
    push,
    report,
    serve,
    train,
)
from lookcloser.cli.terminal import printing
from lookcloser.cli.terminal.panels import PanelCommand, PanelGroup
from lookcloser.cli.terminal.runs import FAILED
from lookcloser.core.errors import LookcloserError, UsageError, system_words
from lookcloser.core.memory import kept_memory
from lookcloser.core.wording import printable
from lookcloser.version import __version__

app = typer.Typer(
    name="lookcloser",
    cls=PanelGroup,
    help="Classify, tag or caption images, and show where the model looked.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

WRONG_USAGE = 2
# What typer raises for words that do not fit; its own name for it depends on its version.
_REFUSED: Any = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


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


app.command("demo", cls=PanelCommand)(demo.demo)
app.command("train", cls=PanelCommand)(train.train)
app.command("add", cls=PanelCommand)(add.add)
app.command("predict", cls=PanelCommand)(predict.predict)
app.command("evaluate", cls=PanelCommand)(evaluate.evaluate)
app.command("explain", cls=PanelCommand)(explain.explain)
app.command("report", cls=PanelCommand)(report.report)
app.command("annotate", cls=PanelCommand)(annotate.annotate)
app.command("audit", cls=PanelCommand)(audit.audit)
app.command("export", cls=PanelCommand)(export.export)
app.command("serve", cls=PanelCommand)(serve.serve)
app.command("push", cls=PanelCommand)(push.push)
app.add_typer(data.app, name="data")
app.command("imagine", cls=PanelCommand)(imagine.imagine)
app.command("methods", cls=PanelCommand)(methods.methods)
app.command("info", cls=PanelCommand)(info.info)


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
    # What Pillow has to say of a file with odd extra data; whether it can be read is said here.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"PIL\.")
    options = sys.argv[1 : sys.argv.index("--")] if "--" in sys.argv else sys.argv[1:]
    if "--debug" in options:  # errors speak of it, and who has just typed a command adds it there
        further = sys.argv[1 + len(options) :]
        sys.argv[1:] = ["--debug", *(word for word in options if word != "--debug"), *further]
    try:
        with kept_memory():
            _call(as_json="--json" in options)
    except (LookcloserError, OSError, MemoryError, RuntimeError) as error:
        said = _said(error)
        if said is None or "--debug" in options:
            raise
        typer.secho(f"Error: {said}", fg="red", err=True)
        code = WRONG_USAGE if isinstance(error, UsageError) else FAILED
        if "--json" in options:
            _print_error(said, code, error)
        sys.exit(code)


def _call(*, as_json: bool) -> None:
    """Do what the words say; with ``as_json`` refused words are told on stdout too."""
    if not as_json:
        app()
        return
    try:
        code = app(standalone_mode=False)
    except _REFUSED as error:
        said = printable(error.format_message())
        typer.secho(f"Error: {said}", fg="red", err=True)
        _print_error(said, error.exit_code, None)
        code = error.exit_code
    sys.exit(code)


def _print_error(said: str, code: int, error: Exception | None) -> None:
    """An error as programs read it: ``{"error": {"message": …, "exit_code": …}}`` on stdout.

    What was wrong, what is allowed and the next step are there one by one too, where known.
    """
    parts = {}
    if isinstance(error, LookcloserError):
        parts = {"what": error.what, "allowed": error.allowed, "fix": error.fix}
    with suppress(OSError):  # nobody reads stdout any more, or its disk is full: stderr has it
        printing.print_json({"error": {"message": said, "exit_code": code, **parts}})


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
    fix = "--debug shows where"
    if isinstance(error, PermissionError) and error.filename is not None:
        fix = "Ask its owner for the right, or choose another place"
    return f"{printable(' '.join(str(line).split()))}. {fix}."
