"""Types of options: what a YAML file spells otherwise, and what is wrong with a value."""

from __future__ import annotations

import math
import types
from typing import Any, NamedTuple, Union, get_args, get_origin


class Kind(NamedTuple):
    """The type of an option.

    Attributes:
        plain: bool, int, float, str, dict, or tuple for three floats.
        optional: Whether it may be None.
    """

    plain: type
    optional: bool


_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a word",
    tuple: "three finite numbers",
    dict: "names with values",
}


def kind_of(hint: Any) -> Kind:
    """The kind of a field's resolved annotation, e.g. ``float | None``."""
    optional = get_origin(hint) in {Union, types.UnionType}
    plain = next(arm for arm in get_args(hint) if arm is not type(None)) if optional else hint
    return Kind(get_origin(plain) or plain, optional)


def read(value: Any, kind: Kind) -> Any:
    """``value`` as its kind, where YAML spells it otherwise: lists, and 1e-3, a text to YAML.

    What cannot be read comes back as it is; `lacking` says what is wrong with it.
    """
    if kind.plain is tuple and isinstance(value, list | tuple):
        return tuple(read(part, Kind(float, False)) for part in value)
    if kind.plain is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return value
    return value


def lacking(value: Any, kind: Kind) -> str | None:
    """What should have been given instead of ``value``; None where it is of its kind."""
    if (value is None and kind.optional) or _is(value, kind.plain):
        return None
    return _WORDS[kind.plain] + (" or null" if kind.optional else "")


def _is(value: Any, plain: type) -> bool:
    if isinstance(value, bool):
        return plain is bool
    if plain is tuple:
        return isinstance(value, tuple) and len(value) == 3 and all(_is(v, float) for v in value)
    if plain is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, plain)
