"""The command line: only parsing, progress and printing."""

from lookcloser.cli.app import main

__all__ = ["main"]
