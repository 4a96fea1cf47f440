"""Packages that only some need: imported where they are used, missed in one sentence."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lookcloser.core.errors import LookcloserError


def needed(module: str, who: str, extra: str = "scale") -> Any:
    """A module of an extra.

    Args:
        module: Its name, e.g. ``"pyarrow.parquet"``.
        who: What needs it, for the error.
        extra: Which extra of this package brings it.

    Raises:
        LookcloserError: If it is not installed; has the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise LookcloserError(
            f"{who} needs {package}, which is not installed",
            fix=f"Install it: `pip install 'lookcloser[{extra}]'`",
        ) from error
