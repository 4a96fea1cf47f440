"""Options of the form key=value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lookcloser.core.errors import UsageError


def read_pairs(texts: Sequence[str], flag: str) -> dict[str, Any]:
    """["pad_type=same", "drop=0.1"] -> a dict; numbers, true and false are read as such.

    Raises:
        UsageError: For a text without a key or without "=", naming the ``flag``.
    """
    import yaml

    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text}: not a pair", allowed="key=value")
        pairs[key] = yaml.safe_load(value)
    return pairs
