"""Options of the form key=value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lookcloser.core.errors import UsageError


def read_pairs(texts: Sequence[str], flag: str) -> dict[str, Any]:
    """["pad_type=same", "drop=0.1"] -> a dict; numbers, true and false are read as such.

    Raises:
        UsageError: For a text without a key or without "=", and a value that cannot be read,
            naming the ``flag``.
    """
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {text}: not a pair", allowed="key=value")
        try:
            pairs[key] = _read(value)
        except ValueError as error:
            raise UsageError(
                f"{flag} {text}: the value cannot be read",
                allowed="a number, true, false, null, a word, or a list in brackets",
            ) from error
    return pairs


def _read(text: str) -> Any:
    """As JSON, else as YAML, which needs no quotes, and takes 1e-3 for a word."""
    import yaml

    with suppress(ValueError):
        return json.loads(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(text) from error
