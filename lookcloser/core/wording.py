"""Names and numbers in sentences: five names at most, then how many more."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_SHOWN = 5
# Controls, surrogates, and the signs that turn the direction of what follows or break its line.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    r"""``text`` that is safe to print: no terminal obeys it, and any UTF-8 stream takes it.

    Control characters (the escape that begins a terminal's commands, the bell, line ends), signs
    that turn the direction of writing, and bytes of file names that are not UTF-8 are spelled out,
    ``\x1b`` or ``\u202e``; everything else stays as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(sign) for sign in text)


def encodable(text: str) -> str:
    r"""``text`` with the bytes of file names that are not UTF-8 spelled out, ``caf\xe9``.

    Python keeps such bytes as lone surrogates, which no file and no stream takes.
    """
    if text.isascii():
        return text
    return "".join(_spelled(sign) if unicodedata.category(sign) == "Cs" else sign for sign in text)


def _spelled(sign: str) -> str:
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(sign) not in _UNPRINTABLE and sign not in _TURNING:
        return sign
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``3 boxes``."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def as_share(value: object) -> str | None:
    """The next step for a share that was given in percent: "For 20 % give 0.2"; else None."""
    if not isinstance(value, int | float) or not 1 < value <= 100:
        return None
    return f"For {value:g} % give {value / 100:g}"


def named(names: Sequence[str]) -> str:
    """``'a', 'b'``; of many the first and how many more."""
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown


def some(names: Sequence[str], noun: str) -> str:
    """``2 images ('a', 'b')``."""
    return f"{count(len(names), noun)} ({named(names)})"


def duration(seconds: float) -> str:
    """In a unit that fits: 45 s, 12 min, 3.2 h, 2.5 days."""
    for limit, unit, length in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            value = seconds / length
            return f"{value:.1f} {unit}" if unit == "h" else f"{value:.0f} {unit}"
    return f"{seconds / 86_400:.1f} days"
