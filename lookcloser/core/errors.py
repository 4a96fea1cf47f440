"""The one error type users meet: it names the value, what is allowed, and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LookcloserError(ValueError):
    """Something a user can mend.

    The message has up to three sentences: what was wrong (with the offending value), what is
    allowed, and what to do next. The command line prints it as it is, without a traceback.

    Args:
        what: What is wrong, the value named first, e.g. ``"resnt18: unknown backbone"``.
        allowed: What would have been accepted.
        fix: The next step to take.
    """

    def __init__(self, what: str, *, allowed: str | None = None, fix: str | None = None) -> None:
        self.what, self.allowed, self.fix = what, allowed, fix
        super().__init__(" ".join(_sentence(part) for part in (what, allowed, fix) if part))


def close_matches(value: str, choices: Iterable[str], n: int = 3) -> list[str]:
    """The ``n`` choices that look most like ``value``, best first, ignoring case."""
    by_lower = {choice.lower(): choice for choice in choices}
    return [by_lower[key] for key in difflib.get_close_matches(value.lower(), by_lower, n, 0.6)]


def unknown(value: str, kind: str, choices: Iterable[str]) -> LookcloserError:
    """The error for a name that is not among ``choices``; offers near names, else all of a few."""
    names = sorted(choices)
    close = close_matches(value, names)
    if close:
        fix = f"Close: {', '.join(close)}"
    elif len(names) <= 20:
        fix = f"There are: {', '.join(names)}"
    else:
        fix = None
    return LookcloserError(f"{value}: unknown {kind}", fix=fix)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ":", "`")) else f"{text}."
