"""Help as rich draws it, quickly: a panel for each group of options, and one for the commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


class PanelCommand(TyperCommand):
    """A command whose help takes rich's parts directly.

    typer's own help gives six columns to each option and loads all of rich, Markdown included:
    0.1 s for any command, half of a second for one with 80 options.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; ``formatter``, for plain text, is not needed."""
        del formatter
        _print_help(self, ctx, {})


class PanelGroup(TyperGroup):
    """A group of commands, with help like that of `PanelCommand`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; ``formatter``, for plain text, is not needed."""
        del formatter
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, item.get_short_help_str(200)) for name, item in found if item is not None]
        _print_help(self, ctx, {"Commands": rows})


def _print_help(command: Any, context: Any, further: dict[str, list[tuple[str, str]]]) -> None:
    """Usage, what the command does, a panel for each group of options, then the ``further``."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Padding(Text(command.get_usage(context), style="bold"), (1, 1, 0, 1)))
    console.print(Padding(Text((command.help or "").strip()), 1))
    groups: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(context):
        title = "Options" if isinstance(param, TyperOption) else "Arguments"
        record = param.get_help_record(context)
        if record is not None:
            groups.setdefault(getattr(param, "rich_help_panel", None) or title, []).append(record)
    for title, rows in {**groups, **further}.items():
        widest = max(len(typed) for typed, _ in rows)
        grid = _grid(rows, narrow=widest if title in further else 0)
        console.print(Panel(grid, title=title, title_align="left", border_style="dim"))


def _grid(records: Iterable[tuple[str, str]], narrow: int) -> Any:
    """Two columns, what is typed and what it does; ``narrow`` is the width of the first, or 0."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=None if narrow else 2, width=narrow or None)
    grid.add_column(ratio=3)
    for typed, said in records:
        grid.add_row(Text(typed, style="cyan"), Text(said))
    return grid
