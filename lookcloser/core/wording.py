"""Names and numbers in sentences: five names at most, then how many more."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 boxes``."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def named(names: Sequence[str]) -> str:
    """``'a', 'b'``; of many the first and how many more."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


def some(names: Sequence[str], noun: str) -> str:
    """``2 images ('a', 'b')``."""
    return f"{count(len(names), noun)} ({named(names)})"
