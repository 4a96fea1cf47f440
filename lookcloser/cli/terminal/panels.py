"""Help as rich draws it, quickly: a panel for each group of options, and one for the commands."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from lookcloser.core.errors import flag
from lookcloser.core.storage.files import own_path
from lookcloser.core.synonyms import meant

NARROW = 60  # columns of a terminal below which options have no column of their own
CLOSE = 0.7  # of letters that a mistyped option shares with the one that is meant


class PanelCommand(TyperCommand):
    """A command whose help takes rich's parts directly.

    typer's own help gives six columns to each option and loads all of rich, Markdown included:
    0.1 s for any command, half of a second for one with 80 options.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; ``formatter``, for plain text, is not needed."""
        del formatter
        _print_help(self, ctx, {})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; one that is refused is named, and of close options the closest.

        A shell leaves the ~ of ``--out=~/runs`` as it is, so paths get their home folder here.
        """
        try:
            left = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _naming_its_value(error)
            raise
        except Exception as error:  # typer's own name for it depends on its version
            _explain(error, {name for param in self.params for name in param.opts})
            raise
        for name, value in ctx.params.items():
            ctx.params[name] = own_path(value) if isinstance(value, Path) else value
        return left


class PanelGroup(TyperGroup):
    """A group of commands, with help like that of `PanelCommand`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words; ``help train`` asks for what ``train --help`` does."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is named; of other tools' names the one that is meant is said."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:  # typer's own name for it depends on its version
            known = meant(args[0], self.list_commands(ctx)) if args else []
            if known and hasattr(error, "message"):
                error.message = f"No such command '{args[0]}'. Did you mean '{known[0]}'?"
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; ``formatter``, for plain text, is not needed."""
        del formatter
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, item.get_short_help_str(200)) for name, item in found if item is not None]
        _print_help(self, ctx, {"Commands": rows})


def _naming_its_value(error: typer.BadParameter) -> str:
    """What newer versions of typer say, "Input should be …", with the input itself."""
    cause: Any = error.__cause__
    if not hasattr(cause, "errors") or not error.message.startswith("Input "):
        return error.message
    wanted = error.message.removeprefix("Input ").partition(", unable to parse")[0]
    return f"{str(cause.errors()[0]['input'])!r} {wanted}"


def _explain(error: Any, options: set[str]) -> None:
    """Say of a refused word what was most likely meant, where that is known."""
    is_unknown = hasattr(error, "possibilities")
    if is_unknown and error.option_name.startswith("--"):
        error.possibilities = _close(error.option_name, options, error.possibilities or ())
    elif is_unknown:
        error.message += ". A file whose name begins with '-' is given as ./-name"
    elif "unexpected extra argument" in getattr(error, "message", ""):
        error.message += ". A name with blanks is quoted, and a list is one word: a,b"


def _close(typed: str, options: set[str], proposed: Iterable[str]) -> list[str]:
    """What other tools call an option, else the proposals that look like it; all if none does."""
    spelled = [name.removeprefix("--").replace("-", "_") for name in sorted(options)]
    names = meant(typed.removeprefix("--").replace("-", "_"), spelled)
    proposed = list(proposed)
    near = difflib.get_close_matches(typed, proposed, cutoff=CLOSE)
    return [flag(name) for name in names] or near or proposed


def _print_help(command: Any, context: Any, further: dict[str, list[tuple[str, str]]]) -> None:
    """Usage, what the command does, a panel for each group of options, then the ``further``."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Padding(Text(command.get_usage(context), style="bold"), (1, 1, 0, 1)))
    said, _, examples = (command.help or "").partition("Example:")
    console.print(Padding(Text(_flowing(said)), 1))
    for line in _example_lines(examples, console.width - 4):
        console.print(Text(f"   {line}", style="cyan"))  # no blanks at its end, as padding has
    if examples:
        console.print()
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(context):
        title = "Options" if isinstance(param, TyperOption) else "Arguments"
        record = param.get_help_record(context)
        if record is not None:
            groups.setdefault(getattr(param, "rich_help_panel", None) or title, []).append(record)
    for title, rows in {**groups, **further}.items():
        widest = max(len(typed) for typed, _ in rows)
        stacked = console.width < NARROW and title not in further
        grid = _stack(rows) if stacked else _grid(rows, widest if title in further else 0)
        console.print(Panel(grid, title=title, title_align="left", border_style="dim"))


def _flowing(text: str) -> str:
    """Paragraphs without the line ends that the source has: the terminal breaks them itself."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _example_lines(text: str, width: int) -> list[str]:
    """Each command that stands in backticks, on lines of its own that a shell takes as they are."""
    lines = []
    for command in re.findall(r"`([^`]+)`", text):
        parts = textwrap.wrap(
            " ".join(command.split()),
            width - 2,  # for the backslash
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += [f"{part} \\" for part in parts[:-1]] + parts[-1:]
    return lines


def _stack(records: Iterable[tuple[str, str]]) -> Any:
    """What is typed, and below it what it does: no words break where two columns are too many."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    return Group(
        *(
            part
            for typed, said in records
            for part in (Text(typed, style="cyan"), Padding(Text(said), (0, 0, 0, 2)))
        )
    )


def _grid(records: Iterable[tuple[str, str]], narrow: int) -> Any:
    """Two columns, what is typed and what it does; ``narrow`` is the width of the first, or 0."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2), expand=True)
    # Words to choose from are folded, as what is cut off cannot be chosen.
    grid.add_column(ratio=None if narrow else 2, width=narrow or None, overflow="fold")
    grid.add_column(ratio=3, overflow="fold")
    for typed, said in records:
        grid.add_row(Text(typed, style="cyan"), Text(said))
    return grid
