"""Help of a command with many options: a panel for each group of them, drawn quickly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperOption


class PanelCommand(TyperCommand):
    """A command whose help takes rich's parts directly.

    typer's own help gives six columns to each option and loads all of rich; with 80 options that
    is half of a second.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help; ``formatter``, for plain text, is not needed."""
        del formatter
        from rich.console import Console
        from rich.padding import Padding
        from rich.panel import Panel
        from rich.text import Text

        console = Console(highlight=False)
        usage = self.get_usage(ctx)
        console.print(Padding(Text(usage, style="bold"), (1, 1, 0, 1)))
        console.print(Padding(Text((self.help or "").strip()), 1))
        groups: dict[str, list[Any]] = {}
        for param in self.get_params(ctx):
            title = "Options" if isinstance(param, TyperOption) else "Arguments"
            groups.setdefault(getattr(param, "rich_help_panel", None) or title, []).append(param)
        for title, params in groups.items():
            grid = _grid(param.get_help_record(ctx) for param in params)
            console.print(Panel(grid, title=title, title_align="left", border_style="dim"))


def _grid(records: Iterable[tuple[str, str] | None]) -> Any:
    """Two columns, what is typed and what it does."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=2)
    grid.add_column(ratio=3)
    for record in records:
        if record is not None:
            typed, said = record
            grid.add_row(Text(typed, style="cyan"), Text(said))
    return grid
