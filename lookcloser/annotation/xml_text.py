"""What XML can hold of a text."""

from __future__ import annotations


def xml_text(text: str) -> str:
    """Without what XML cannot hold even escaped: control characters and lone surrogates."""
    return "".join(
        c if (c in "\t\n\r" or c >= " ") and not "\ud800" <= c <= "\udfff" else "\ufffd"
        for c in text
    )
