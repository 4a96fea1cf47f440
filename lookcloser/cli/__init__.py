"""The command line: only parsing, progress and printing."""

from lookcloser.cli.terminal.interrupts import ending_by_ctrl_c

__all__ = ["main"]


def main() -> None:
    """Run the program; see `lookcloser.cli.app.run` for its exit codes."""
    with ending_by_ctrl_c():
        from lookcloser.cli.app import run  # here: Ctrl-C may come within the imports

        run()
